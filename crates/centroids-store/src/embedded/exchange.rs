//! All members as embeddings, the form other programs read.

use centroids_core::{CamId, Embeddings, Pid};

use super::EmbeddedGallery;
use super::ledger::decode_embedding;
use super::read::names;
use crate::error::Error;
use crate::part::camera_of;

impl EmbeddedGallery {
    /// See [`Gallery::to_embeddings`](crate::Gallery::to_embeddings): one state of the file.
    pub(super) fn embeddings(&self) -> Result<Embeddings, Error> {
        let settings = &self.settings;
        let (mut values, mut pids, mut cameras, mut keys) = (vec![], vec![], vec![], vec![]);
        let names = self.read(|transaction, _| {
            let sql =
                "SELECT key, pid, camid, embedding FROM member WHERE quarantined = 0 ORDER BY id";
            let mut statement = transaction.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let key: String = row.get(0)?;
                values.extend(decode_embedding(settings, row, 3, &key)?);
                pids.push(Pid(row.get(1)?));
                cameras.push(camera_of(row.get(2)?));
                keys.push(key);
            }
            names(transaction)
        })?;
        let cameras: Vec<Option<CamId>> = cameras;
        Ok(Embeddings::new(settings.dim, values, pids, cameras, keys)?
            .with_model(settings.model.clone())
            .with_model_path(settings.model_path.clone())
            .with_pid_names(names))
    }
}
