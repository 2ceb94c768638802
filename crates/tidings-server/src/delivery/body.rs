//! A stream as the body of an HTTP answer: hyper asks for bytes when its socket has room.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;

use super::Subscriber;

/// The body that is this subscriber's stream.
pub(crate) fn stream_body(
    subscriber: Subscriber,
) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Send {
    StreamBody::new(stream::unfold(subscriber, |mut subscriber| async move {
        let bytes = subscriber.next().await?;
        Some((Ok(Frame::data(bytes)), subscriber))
    }))
}
