//! The connection: requests that are repeated, and what their errors mean.

use std::future::Future;
use std::time::Duration;

use milvus::v2::error::Error as Fault;
use milvus::v2::prelude::{
    ClientV2, CollectionSchema, ConnectConfig, ConsistencyLevel, CreateCollectionRequest,
    CreateIndexRequest, DeleteRequest, DescribeCollectionRequest, DropCollectionRequest, FieldData,
    HasCollectionRequest, IndexParam, InsertRequest, LoadCollectionRequest, QueryRequest,
    QueryResults, RetryConfig, SearchRequest, SearchResults, SearchVectors, TelemetryConfig,
    UpsertRequest,
};
use tokio::runtime::{Builder, Runtime};

use super::address::Address;
use crate::error::Error;

/// How often a request is tried, and how long is waited before the second time; twice as long
/// before each further one.
const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// A server is there at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Holds `user:password` or a token, where the server wants one: no secret stands in an address.
const TOKEN: &str = "MILVUS_TOKEN";

/// Codes of gRPC that a lost connection or server may have: cancelled, unknown, deadline exceeded,
/// aborted, internal, unavailable.
const LOST: [i32; 6] = [1, 2, 4, 10, 13, 14];

/// A server. Every request may be repeated, because rows are written under keys that follow from
/// what they are.
pub(super) struct Server {
    pub(super) address: Address,
    client: ClientV2,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

/// Which rows a query wants.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) collection: &'a str,
    pub(super) filter: &'a str,
    pub(super) fields: &'a [&'a str],
    pub(super) limit: usize,
    pub(super) consistency: ConsistencyLevel,
}

impl Server {
    pub(super) fn connect(address: Address) -> Result<Self, Error> {
        let unreachable = |message: String| Error::Unreachable {
            location: address.text.clone(),
            server: address.server.clone(),
            message,
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| unreachable(error.to_string()))?;
        let mut config = ConnectConfig::new()
            .uri(format!("http://{}", address.server))
            .connect_timeout(CONNECT_TIMEOUT)
            .rpc_timeout(address.timeout)
            .retry(RetryConfig::new().max_attempts(1))
            .telemetry(TelemetryConfig::new().enabled(false));
        if let Ok(token) = std::env::var(TOKEN) {
            config = config.token(token);
        }
        let connected = runtime.block_on(ClientV2::new(&config));
        let client = connected.map_err(|fault| unreachable(one_line(&fault.to_string())))?;
        Ok(Self { address, client, runtime: Some(runtime) })
    }

    /// Sends a request until it is answered, but not for ever.
    fn call<T, F>(&self, request: impl Fn(ClientV2) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            // Dropped only with the server itself.
            let Some(runtime) = &self.runtime else { break };
            match runtime.block_on(request(self.client.clone())) {
                Ok(answer) => return Ok(answer),
                Err(fault) if attempt < ATTEMPTS && passes(&fault) => {
                    std::thread::sleep(wait);
                    wait *= 2;
                }
                Err(fault) => return Err(self.error(&fault)),
            }
        }
        Err(self.error(&Fault::Cancelled("the connection is closed".to_owned())))
    }

    fn error(&self, fault: &Fault) -> Error {
        let (location, server) = (self.address.text.clone(), self.address.server.clone());
        match fault {
            Fault::RetryExhausted { source, .. } => self.error(source),
            Fault::Timeout(message) => {
                let message = one_line(message);
                Error::Unreachable { location, server, message }
            }
            Fault::Grpc(status) if LOST.contains(&(status.code() as i32)) => {
                let message = one_line(status.message());
                Error::Unreachable { location, server, message }
            }
            Fault::Grpc(status) => Error::Remote { location, message: one_line(status.message()) },
            other => Error::Remote { location, message: one_line(&other.to_string()) },
        }
    }

    /// What a server answered that cannot be.
    pub(super) fn malformed(&self, what: &str) -> Error {
        let path = self.address.text.clone().into();
        Error::Damaged { path, problem: what.to_owned() }
    }

    pub(super) fn has(&self, collection: &str) -> Result<bool, Error> {
        self.call(|client| async move {
            let request = HasCollectionRequest::builder().collection_name(collection).build()?;
            Ok(client.has_collection(request).await?.exists())
        })
    }

    /// The schema of a collection.
    pub(super) fn schema(&self, collection: &str) -> Result<CollectionSchema, Error> {
        self.call(|client| async move {
            let request =
                DescribeCollectionRequest::builder().collection_name(collection).build()?;
            Ok(client.describe_collection(request).await?.description().get_schema().clone())
        })
    }

    pub(super) fn create(
        &self,
        collection: &str,
        schema: &CollectionSchema,
        index: &IndexParam,
    ) -> Result<(), Error> {
        self.call(|client| async move {
            let request = CreateCollectionRequest::builder()
                .collection_name(collection)
                .schema(schema.clone())
                .build()?;
            client.create_collection(request).await?;
            // Not every server knows the call that waiting for an index needs; loading waits too.
            let request = CreateIndexRequest::builder()
                .collection_name(collection)
                .index_param(index.clone())
                .sync(false)
                .build()?;
            client.create_index(request).await
        })
    }

    /// Makes a collection searchable, which it may be already, and waits for it if `sync`.
    pub(super) fn load(&self, collection: &str, sync: bool) -> Result<(), Error> {
        let timeout = self.address.timeout.as_millis() as i64;
        self.call(|client| async move {
            let request = LoadCollectionRequest::builder()
                .collection_name(collection)
                .sync(sync)
                .timeout_ms(timeout)
                .build()?;
            client.load_collection(request).await
        })
    }

    pub(super) fn drop(&self, collection: &str) -> Result<(), Error> {
        self.call(|client| async move {
            let request = DropCollectionRequest::builder().collection_name(collection).build()?;
            client.drop_collection(request).await
        })
    }

    /// Writes rows, in the place of those that have their keys.
    pub(super) fn upsert(&self, collection: &str, columns: &[FieldData]) -> Result<(), Error> {
        self.call(|client| async move {
            let rows = InsertRequest::builder()
                .collection_name(collection)
                .columns(columns.to_vec())
                .build()?;
            client.upsert(UpsertRequest::builder().insert(rows).build()?).await.map(drop)
        })
    }

    pub(super) fn delete(&self, collection: &str, filter: &str) -> Result<(), Error> {
        self.call(|client| async move {
            let request =
                DeleteRequest::builder().collection_name(collection).filter(filter).build()?;
            client.delete(request).await.map(drop)
        })
    }

    /// The rows with the lowest keys that pass the filter, ascending by key.
    pub(super) fn query(&self, wanted: Wanted<'_>) -> Result<QueryResults, Error> {
        self.call(|client| async move {
            let request = QueryRequest::builder()
                .collection_name(wanted.collection)
                .filter(wanted.filter)
                .output_fields(wanted.fields.iter().copied())
                .limit(wanted.limit as i64)
                .consistency_level(wanted.consistency)
                .build()?;
            Ok(client.query(request).await?.results().clone())
        })
    }

    /// For each vector the nearest rows that pass the filter.
    pub(super) fn search(
        &self,
        wanted: Wanted<'_>,
        vectors: &[Vec<f32>],
    ) -> Result<SearchResults, Error> {
        self.call(|client| async move {
            let request = SearchRequest::builder()
                .collection_name(wanted.collection)
                .vector_field("vector")
                .vectors(SearchVectors::Float(vectors.to_vec()))
                .filter(wanted.filter)
                .output_fields(wanted.fields.iter().copied())
                .limit(wanted.limit as i64)
                .consistency_level(wanted.consistency)
                .build()?;
            Ok(client.search(request).await?.results().clone())
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Does not wait, so that a server may be dropped inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether waiting may help: the connection, a server that starts or has too much to do.
fn passes(fault: &Fault) -> bool {
    match fault {
        Fault::Timeout(_) => true,
        Fault::Grpc(status) => LOST.contains(&(status.code() as i32)),
        Fault::RetryExhausted { source, .. } => passes(source),
        Fault::Server(server) => {
            // Starting, overloaded, limited; channels and nodes that are being found again.
            matches!(server.code(), 1 | 2 | 8 | 9 | 101 | 106 | 200 | 500..=503 | 901 | 902)
        }
        _ => false,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
