//! `centroids data prepare`

use std::path::PathBuf;

use centroids::data::prepare::CropOptions;
use clap::{Args, Subcommand};

/// Make a public dataset, or a folder of pictures, ready for training
///
/// All of them go on where they were broken off when started again, and leave out pictures that are
/// missing or broken, which they count and name. The options of the reference's scripts are taken
/// too. JPEGs are written at quality 75 without colour subsampling.
///
/// Examples:
///   centroids data prepare jpg data/street2shop/images data/street2shop/images_jpg
///   centroids data prepare street2shop data/street2shop --images-dir images_jpg
///   centroids data prepare deepfashion data/consumer_to_shop --target-image-size 128 256
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct PrepareArgs {
    #[command(subcommand)]
    pub(crate) command: PrepareCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PrepareCommand {
    Jpg(JpgArgs),
    Street2shop(Street2shopArgs),
    Deepfashion(DeepfashionArgs),
}

/// Convert every picture of a folder to an RGB JPEG of the same stem
///
/// Reads JPEG, PNG, BMP, WebP, TIFF and PNM, whatever the extension. Alpha is dropped, not blended;
/// of 16-bit samples the high byte is kept; files that are cut off fail. Of two files with the same
/// stem the first is converted and the second fails. A JPEG at least as new as its source is kept.
///
/// Example:
///   centroids data prepare jpg photos photos_jpg
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct JpgArgs {
    /// Folder of pictures.
    #[arg(value_name = "SOURCE", required_unless_present = "source_dir_path")]
    pub(crate) source: Option<PathBuf>,
    /// Folder for the JPEGs.
    #[arg(value_name = "TARGET", required_unless_present = "target_dir_path")]
    pub(crate) target: Option<PathBuf>,
    #[arg(long, hide = true, conflicts_with = "source")]
    pub(crate) source_dir_path: Option<PathBuf>,
    #[arg(long, hide = true, conflicts_with = "target")]
    pub(crate) target_dir_path: Option<PathBuf>,
    /// Convert sub-folders too, to sub-folders of the same names; else they are left out.
    #[arg(long)]
    pub(crate) recursive: bool,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

/// Cut the products out of Street2Shop's photos and list them for training
///
/// ROOT holds the published lists (meta/json/train_pairs_bags.json ...) and the photos, named by
/// their numbers (images/000000042.jpg). Street photos of the train lists and the shop photos of
/// their products are for training; street photos of the test lists are the queries, all other shop
/// photos the gallery.
///
/// Makes ROOT/images_reid_cropped_W_H/{train,query,gallery}/ and, in the folder of --save-dir,
/// {train,query,gallery}_coco_reid.json, all_street_train.json, train_data.txt, test_data.txt,
/// train_all.txt and <category>_products.txt.
///
/// Example:
///   centroids data prepare street2shop data/street2shop --target-image-size 320 320
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Street2shopArgs {
    #[command(flatten)]
    pub(crate) root: RootArgs,
    /// Folder of the published lists, in ROOT.
    #[arg(long, default_value = "meta", value_name = "DIR")]
    pub(crate) metadata_dir: PathBuf,
    /// Folder of the photos, in ROOT.
    #[arg(long, default_value = "images", value_name = "DIR")]
    pub(crate) images_dir: PathBuf,
    /// Folder for the lists, in ROOT.
    #[arg(long, default_value = "meta_reid", value_name = "DIR")]
    pub(crate) save_dir: PathBuf,
    /// Leave out boxes of fewer pixels.
    #[arg(long, default_value_t = 1, value_name = "PIXELS")]
    pub(crate) minimum_bbox_area: u64,
    // The reference's second script wants the result of its first; here both are one command.
    #[arg(long, hide = true)]
    train_json_path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

/// Cut the clothes out of DeepFashion's consumer-to-shop pictures and list them for training
///
/// ROOT holds Eval/list_eval_partition.txt, Anno/list_bbox_consumer2shop.txt, and img_highres/ or
/// img/ or both. Users' pictures of test are the queries, shops' pictures of test and val the
/// gallery.
///
/// Makes ROOT/W_H_cropped_images/{train,val,test,query,gallery}/ and
/// ROOT/{train,val,test,query,gallery}_reid_cropped_W_H.json.
///
/// Example:
///   centroids data prepare deepfashion data/consumer_to_shop
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct DeepfashionArgs {
    #[command(flatten)]
    pub(crate) root: RootArgs,
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

/// Where a dataset is.
#[derive(Args, Debug)]
pub(crate) struct RootArgs {
    /// Folder of the dataset.
    #[arg(value_name = "ROOT", required_unless_present = "root_dir_path")]
    root: Option<PathBuf>,
    #[arg(long, hide = true, conflicts_with = "root")]
    root_dir_path: Option<PathBuf>,
}

impl RootArgs {
    pub(crate) fn path(self) -> PathBuf {
        self.root.or(self.root_dir_path).unwrap_or_default()
    }
}

/// How large crops become.
#[derive(Args, Debug)]
pub(crate) struct SizeArgs {
    /// Width and height of the crops: boxes are shrunk to fit, aspect kept, on white.
    #[arg(
        long,
        num_args = 2,
        default_values_t = CropOptions::SIZE,
        value_parser = side,
        value_names = ["W", "H"],
    )]
    pub(crate) target_image_size: Vec<u32>,
}

/// How the work is done.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WorkArgs {
    /// Threads [default: one per processor]
    #[arg(long, alias = "num-threads", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Fail when any picture is missing or broken.
    #[arg(long)]
    pub(crate) strict: bool,
}

impl WorkArgs {
    pub(crate) fn threads(self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(processors, usize::from)
    }
}

/// The reference's readme writes sizes as `[320, 320]`.
fn side(text: &str) -> Result<u32, String> {
    let max = CropOptions::MAX_SIDE;
    let side = text.trim_matches(['[', ',', ']']).parse();
    side.ok().filter(|side| (1..=max).contains(side)).ok_or(format!("must be from 1 to {max}"))
}
