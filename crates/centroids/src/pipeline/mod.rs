//! One function per step of the way from images to answers.

mod embed;
mod evaluate;
mod model_file;
mod performance;
mod search;
mod train;

pub use embed::{Embedding, Unreadable, embed_records, records_of};
pub use evaluate::{Question, evaluate_all};
pub use model_file::{ModelFile, open_model};
pub use performance::{TrainingSpeed, WARM_UP_STEPS, measure_training};
pub use search::{SearchOptions, SearchResult, search_images};
pub use train::{Outcome, TrainEvent, resume, train, untrained};
