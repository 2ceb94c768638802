//! A real HTTP server that webhooks are posted to: it answers as it is told and keeps what came.

#![allow(unreachable_pub, reason = "what a test may use of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// How a post is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    /// To another path of the same server.
    Redirect(&'static str),
    /// Not at all.
    Silence,
}

/// A post that came.
#[derive(Clone, Debug)]
pub struct Post {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Post {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A running server. It ends with the test's runtime.
pub struct Receiver {
    pub url: String,
    posts: mpsc::UnboundedReceiver<Post>,
}

impl Receiver {
    /// Gives these answers, one after the other, and 200 from then on.
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, posts) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(VecDeque::from_iter(answers)));
        let take = move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let (sender, answers) = (sender.clone(), Arc::clone(&answers));
            async move {
                let path = uri.path().to_owned();
                let body = String::from_utf8(body.to_vec()).unwrap();
                let answer = answers.lock().unwrap().pop_front();
                let _ = sender.send(Post { path, headers, body });
                respond(answer.unwrap_or(Answer::Status(200))).await
            }
        };
        let app = Router::new().fallback(take);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, posts }
    }

    /// The next post.
    pub async fn next(&mut self) -> Post {
        let next = timeout(PATIENCE, self.posts.recv()).await;
        next.expect("nothing was posted").expect("the server runs")
    }

    /// What came and was not looked at yet.
    pub fn rest(&mut self) -> Vec<Post> {
        std::iter::from_fn(|| self.posts.try_recv().ok()).collect()
    }
}

async fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect(path) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, path)]).into_response()
        }
        Answer::Silence => std::future::pending().await,
    }
}
