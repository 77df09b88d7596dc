//! gRPC between the client and the real member, with what the behaviour changes.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{Stream, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use prost::Message as _;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::codegen::{Bytes, http};
use tonic::transport::Channel;

use crate::behaviour::{Answer, Behaviour, MemberList, Range, Speech, Status};
use crate::snapshot::{Message, Messages, Step, Steps};

/// What a stream does to the connection that it is on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    GoAway,
    Cut,
}

/// Passes requests on to the real member.
pub(crate) struct Gateway {
    pub(crate) behaviour: Behaviour,
    /// URL that clients are told for this member.
    pub(crate) url: String,
    pub(crate) member: Channel,
    pub(crate) statuses: AtomicUsize,
    pub(crate) snapshots: AtomicUsize,
}

type Response = http::Response<Body>;

impl Gateway {
    /// Answers one request.
    pub(crate) async fn answer(
        &self,
        request: http::Request<Incoming>,
        signals: UnboundedSender<Signal>,
    ) -> Result<Response, Infallible> {
        if self.behaviour.speech == Speech::BadGateway {
            let mut answer = Response::default();
            *answer.status_mut() = http::StatusCode::BAD_GATEWAY;
            return Ok(answer);
        }
        let path = request.uri().path().to_owned();
        let answered = match path.as_str() {
            "/etcdserverpb.Maintenance/Status" => self.status(request).await,
            "/etcdserverpb.Maintenance/Snapshot" => self.snapshot(request, signals).await,
            "/etcdserverpb.Cluster/MemberList" => self.member_list(request).await,
            "/etcdserverpb.KV/Range" => self.range(request).await,
            _ => self.pass(request).await,
        };
        Ok(answered.unwrap_or_else(|error| tonic::Status::unavailable(format!("the real member: {error}")).into_http()))
    }

    async fn pass(&self, request: http::Request<Incoming>) -> Result<Response, tonic::transport::Error> {
        let mut member = self.member.clone();
        poll_fn(|context| member.poll_ready(context)).await?;
        member.call(request.map(Body::new)).await
    }

    async fn status(&self, request: http::Request<Incoming>) -> Result<Response, tonic::transport::Error> {
        let asked_before = self.statuses.fetch_add(1, Ordering::Relaxed);
        let change = |status: &mut Status| {
            // Followers are asked first, so it says that it is one.
            if status.header.as_ref().is_some_and(|header| header.member_id == status.leader) {
                status.leader ^= 1;
            }
            (self.behaviour.status)(asked_before, status);
            Answer::Given
        };
        changed(self.pass(request).await?, change).await
    }

    async fn member_list(&self, request: http::Request<Incoming>) -> Result<Response, tonic::transport::Error> {
        let change = |list: &mut MemberList| {
            let own = list.header.as_ref().map(|header| header.member_id);
            for member in list.members.iter_mut().filter(|member| Some(member.id) == own) {
                member.client_ur_ls = vec![self.url.clone()];
            }
            (self.behaviour.member_list)(list);
            Answer::Given
        };
        changed(self.pass(request).await?, change).await
    }

    async fn range(&self, request: http::Request<Incoming>) -> Result<Response, tonic::transport::Error> {
        changed(self.pass(request).await?, |range: &mut Range| (self.behaviour.range)(range)).await
    }

    async fn snapshot(
        &self,
        request: http::Request<Incoming>,
        signals: UnboundedSender<Signal>,
    ) -> Result<Response, tonic::transport::Error> {
        self.snapshots.fetch_add(1, Ordering::Relaxed);
        let response = self.pass(request).await?;
        if is_error(&response) {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let messages = match body.collect().await {
            Ok(body) => messages(&body.to_bytes()),
            Err(error) => return Ok(error.into_http()),
        };
        let steps = (self.behaviour.snapshot)(messages);
        Ok(Response::from_parts(head, Body::new(StreamBody::new(play(steps, signals)))))
    }
}

/// An answer of one message, changed.
async fn changed<M: prost::Message + Default>(
    response: Response,
    change: impl FnOnce(&mut M) -> Answer,
) -> Result<Response, tonic::transport::Error> {
    if is_error(&response) {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body,
        Err(error) => return Ok(error.into_http()),
    };
    let trailers = body.trailers().cloned();
    let mut message = blobs(&body.to_bytes()).next().and_then(|blob| M::decode(blob).ok()).unwrap_or_default();
    match change(&mut message) {
        Answer::Given => {
            let frames = [Some(Frame::data(framed(&message))), trailers.map(Frame::trailers)];
            let frames = frames.into_iter().flatten().map(Ok::<_, Infallible>);
            Ok(Response::from_parts(head, Body::new(StreamBody::new(stream::iter(frames)))))
        }
        Answer::Refused(code, words) => Ok(tonic::Status::new(code, words).into_http()),
        Answer::Withheld => pending().await,
    }
}

/// gRPC has the status of a failed request in the header.
fn is_error(response: &Response) -> bool {
    response.headers().contains_key("grpc-status")
}

/// gRPC's framing: a byte for compression, which etcd does not use, and four for the length.
fn framed(message: &impl prost::Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(message);
    frame.into()
}

/// The messages in a body.
fn blobs(mut body: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (head, rest) = body.split_first_chunk::<5>()?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (message, rest) = rest.split_at_checked(length)?;
        body = rest;
        Some(message)
    })
}

fn messages(body: &[u8]) -> Messages {
    blobs(body).filter_map(|blob| Message::decode(blob).ok()).collect()
}

type Played = io::Result<Frame<Bytes>>;

/// The steps as a body.
fn play(steps: Steps, signals: UnboundedSender<Signal>) -> impl Stream<Item = Played> + Send {
    stream::unfold(Some((steps, signals)), |state| async move {
        let (mut steps, signals) = state?;
        loop {
            let step = match steps.next() {
                Some(step) => step,
                None => return Some((Ok(trailers(&tonic::Status::ok(""))), None)),
            };
            match step {
                Step::Send(message) => return Some((Ok(Frame::data(framed(&message))), Some((steps, signals)))),
                Step::Wait(time) => sleep(time).await,
                Step::Hang => pending().await,
                Step::Fail(code, words) => return Some((Ok(trailers(&tonic::Status::new(code, words))), None)),
                Step::Reset => return Some((Err(io::Error::other("reset on demand")), None)),
                Step::GoAway => signal(&signals, Signal::GoAway),
                Step::Cut => {
                    signal(&signals, Signal::Cut);
                    pending().await
                }
            }
        }
    })
}

fn signal(signals: &UnboundedSender<Signal>, signal: Signal) {
    // Nobody listens once the connection is over, and then it is what was wanted.
    _ = signals.send(signal);
}

fn trailers(status: &tonic::Status) -> Frame<Bytes> {
    let response: Response = status.clone().into_http();
    Frame::trailers(response.headers().clone())
}
