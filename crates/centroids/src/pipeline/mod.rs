//! One function per step of the way from images to answers.

mod embed;
mod evaluate;
mod model_file;
mod rank_page;
mod rank_pictures;
mod search;
mod train;

pub use embed::{Embedding, Images, Unreadable, embed_records, images_of};
pub use evaluate::{Question, UnitCost, evaluate_all, unit_costs};
pub use model_file::{ModelFile, open_model};
pub use rank_pictures::{RankPictureOptions, RankPictures, write_rank_pictures};
pub use search::{
    SearchOptions, SearchResult, check_model, embed_queries, search_embeddings, search_images,
    write_results, write_results_json,
};
pub use train::{Outcome, TrainEvent, resume, train, untrained};
