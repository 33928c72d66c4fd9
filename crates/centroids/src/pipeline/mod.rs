//! One function per step of the way from images to answers.

mod bulk;
mod chart;
mod class_view;
mod convert;
mod doctor_cards;
mod doctor_files;
mod doctor_page;
mod embed;
mod embedding_map;
mod embedding_speed;
mod evaluate;
mod evaluation_page;
mod explain;
mod gallery;
mod html;
mod model_file;
mod performance;
mod rank_page;
mod rank_pictures;
mod refine;
mod repeat;
mod run_page;
mod search;
mod train;
mod training_curves;
mod verification;

pub use bulk::{
    BulkFolder, BulkJob, BulkPlan, BulkReport, PartNote, PartState, embed_parts, merge_centroids,
    merge_parts,
};
pub use class_view::{ClassMember, ClassSpread, ClassView, view_class};
pub use convert::{Converted, Names, convert_weights};
pub use doctor_files::{DoctorFiles, write_findings};
pub use embed::{
    Embedding, Images, Unreadable, embed_images, embed_records, images_of, images_of_urls,
};
pub use embedding_speed::{EmbeddingSpeed, time_embedding};
pub use evaluate::{Question, UnitCost, evaluate_all, evaluate_together, unit_costs};
pub use evaluation_page::{EvaluationPage, write_evaluation_page};
pub use explain::{Explanation, explain};
pub use gallery::{
    AddReport, Addition, TimeFrom, add_embeddings, add_images, add_parquet, check_gallery_model,
    gallery_settings,
};
pub use model_file::{ModelFile, open_model, weights_file};
pub use performance::{TrainingSpeed, WARM_UP_STEPS, measure_training};
pub use rank_pictures::{RankPictureOptions, RankPictures, picture_rankings, write_rank_pictures};
pub use refine::{Refinement, evaluate_refined};
pub use repeat::{Repeats, SUMMARY_RANKS, Spread, Summary, summarize};
pub use run_page::{RunPage, write_run_page};
pub use search::{
    SearchOptions, SearchResult, check_model, embed_queries, search_embeddings, search_images,
    write_results, write_results_json,
};
pub use train::{Outcome, TrainEvent, resume, train, untrained};
pub use verification::{
    calibrate_embeddings, open_set_all, read_calibration, read_per_query, verify_all,
    write_calibration,
};
