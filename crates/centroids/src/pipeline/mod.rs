//! One function per step of the way from images to answers.

mod convert;
mod embed;
mod embedding_speed;
mod evaluate;
mod model_file;
mod performance;
mod repeat;
mod search;
mod train;

pub use convert::{Converted, Names, convert_weights};
pub use embed::{Embedding, Unreadable, embed_records, records_of};
pub use embedding_speed::{EmbeddingSpeed, time_embedding};
pub use evaluate::{Question, evaluate_all};
pub use model_file::{ModelFile, open_model, weights_file};
pub use performance::{TrainingSpeed, WARM_UP_STEPS, measure_training};
pub use repeat::{Repeats, SUMMARY_RANKS, Spread, Summary, summarize};
pub use search::{SearchOptions, SearchResult, search_images};
pub use train::{Outcome, TrainEvent, resume, train, untrained};
