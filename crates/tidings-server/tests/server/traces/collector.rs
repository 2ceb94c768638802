//! A real collector of spans: it takes OTLP over HTTP as a collector does, and keeps what came.

use std::collections::HashMap;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// A batch of spans, as it was posted.
pub struct Export {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Export {
    fn request(&self) -> ExportTraceServiceRequest {
        assert_eq!(self.headers["content-type"], "application/x-protobuf");
        ExportTraceServiceRequest::decode(self.body.clone()).unwrap()
    }

    pub fn spans(&self) -> Vec<Span> {
        let resources = self.request().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// What the spans are said to be from.
    pub fn resource(&self) -> HashMap<String, Value> {
        let request = self.request();
        values(&request.resource_spans[0].resource.as_ref().unwrap().attributes)
    }
}

/// A running collector. It ends with the test's runtime.
pub struct Collector {
    pub url: String,
    exports: mpsc::UnboundedReceiver<Export>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, exports) = mpsc::unbounded_channel();
        let take = move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let _ = sender.send(Export { path: uri.path().to_owned(), headers, body });
            async {
                let answer = ExportTraceServiceResponse::default().encode_to_vec();
                ([("content-type", "application/x-protobuf")], answer)
            }
        };
        let app = Router::new().fallback(post(take));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, exports }
    }

    /// The next batch.
    pub async fn next(&mut self) -> Export {
        let next = timeout(PATIENCE, self.exports.recv()).await;
        next.expect("nothing was exported").expect("the collector runs")
    }

    /// So many spans, in the order in which they ended.
    pub async fn spans(&mut self, count: usize) -> Vec<Span> {
        let mut spans = Vec::new();
        while spans.len() < count {
            spans.extend(self.next().await.spans());
        }
        spans
    }

    /// The spans that came and were not looked at yet.
    pub fn rest(&mut self) -> Vec<Span> {
        let exports = std::iter::from_fn(|| self.exports.try_recv().ok());
        exports.flat_map(|export| export.spans()).collect()
    }
}

/// Attributes by their names.
pub fn values(attributes: &[KeyValue]) -> HashMap<String, Value> {
    let pair = |pair: &KeyValue| {
        (pair.key.clone(), pair.value.clone().and_then(|value| value.value).unwrap())
    };
    attributes.iter().map(pair).collect()
}

/// The span of this name.
pub fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

/// An attribute that is a number.
pub fn number(span: &Span, name: &str) -> i64 {
    match values(&span.attributes).get(name) {
        Some(Value::IntValue(number)) => *number,
        other => panic!("{name} of {} is {other:?}", span.name),
    }
}
