//! Options that refine rankings

use std::str::FromStr;

use centroids::core::{Expansion, KReciprocal};
use centroids::pipeline::Refinement;
use clap::Args;

/// Better rankings from the neighbourhoods of vectors.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Refinement of rankings")]
pub(crate) struct RefineArgs {
    /// Re-rank by k-reciprocal neighbours [settings if none are given: 20,6,0.3]
    #[arg(long, value_name = "K1,K2,LAMBDA", num_args = 0..=1, default_missing_value = "20,6,0.3",
        value_parser = k_reciprocal, conflicts_with_all = ["preset", "visualize", "report"])]
    pub(crate) rerank: Option<KReciprocal>,
    /// Average each query with its N nearest gallery images, each weighing cos^ALPHA [default: 0]
    #[arg(long, value_name = "N[,ALPHA]", value_parser = expansion,
        conflicts_with_all = ["preset", "visualize", "report"])]
    pub(crate) query_expansion: Option<Expansion>,
    /// Average each gallery image with its N nearest ones first (database-side augmentation).
    #[arg(long, value_name = "N[,ALPHA]", value_parser = expansion,
        conflicts_with_all = ["preset", "visualize", "report"])]
    pub(crate) dba: Option<Expansion>,
}

impl RefineArgs {
    pub(crate) fn refinement(self) -> Refinement {
        let Self { rerank: reranked, query_expansion, dba } = self;
        Refinement { dba, query_expansion, reranked }
    }
}

fn k_reciprocal(text: &str) -> Result<KReciprocal, String> {
    let [k1, k2, lambda] = text.split(',').collect::<Vec<_>>()[..] else {
        return Err("three numbers are wanted, as in 20,6,0.3".to_owned());
    };
    let settings = KReciprocal {
        k1: number("K1", k1)?,
        k2: number("K2", k2)?,
        lambda: number("LAMBDA", lambda)?,
    };
    settings.check().map_err(|error| error.to_string())?;
    Ok(settings)
}

fn expansion(text: &str) -> Result<Expansion, String> {
    let (neighbours, alpha) = text.split_once(',').unwrap_or((text, "0"));
    let expansion =
        Expansion { neighbours: number("N", neighbours)?, alpha: number("ALPHA", alpha)? };
    expansion.check().map_err(|error| error.to_string())?;
    Ok(expansion)
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("{name} is `{text}`, which is no such number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_numbers_with_commas() {
        assert_eq!(k_reciprocal("20,6,0.3"), Ok(KReciprocal::default()));
        assert_eq!(expansion("5"), Ok(Expansion { neighbours: 5, alpha: 0.0 }));
        assert_eq!(expansion("10,3.5"), Ok(Expansion { neighbours: 10, alpha: 3.5 }));
        let errors = [
            (k_reciprocal("20,6").unwrap_err(), "three numbers are wanted, as in 20,6,0.3"),
            (k_reciprocal("-1,6,0.3").unwrap_err(), "K1 is `-1`, which is no such number"),
            (k_reciprocal("20,6,2").unwrap_err(), "`lambda` is 2: it must be 0 to 1"),
            (expansion("0").unwrap_err(), "`neighbours` is 0: it must be 1 or more"),
            (expansion("5,").unwrap_err(), "ALPHA is ``, which is no such number"),
        ];
        for (found, wanted) in errors {
            assert_eq!(found, wanted);
        }
    }
}
