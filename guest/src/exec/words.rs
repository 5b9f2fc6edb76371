//! Arguments and variables of a command that are too long for one frame: they come as bytes of a stream, before the `start` that takes them.

use crate::failure::{Failure, Kind};
use crate::jobs::Worker;
use crate::message::{Nothing, Words};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// What Linux takes for both together.
const MAX_BYTES: usize = 2 << 20;

/// Commands whose words wait for their `start`. Beyond, the oldest are dropped.
const MAX_KEPT: usize = 4;

/// Words by the id of their exec.
#[derive(Clone, Default)]
pub struct KeptWords(Arc<Mutex<VecDeque<(String, String)>>>);

impl KeptWords {
    fn keep(&self, id: String, words: String) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| *known != id);
        if kept.len() == MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back((id, words));
    }

    /// The arguments, `count` of them, and the variables behind those.
    pub fn take(&self, id: &str, count: usize) -> Result<(Vec<String>, BTreeMap<String, String>), Failure> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known == id);
        let (_, words) = at
            .and_then(|at| kept.remove(at))
            .ok_or_else(|| Failure::new(Kind::NotFound, format!("the arguments of exec {id:?} were not sent")))?;
        drop(kept);
        let mut words = words.split_terminator('\0').map(str::to_string);
        let argv: Vec<String> = words.by_ref().take(count).collect();
        if argv.len() < count {
            return Err(Failure::invalid(format!("words: {} of {count} arguments", argv.len())));
        }
        let env = words
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) => Ok((name.to_string(), value.to_string())),
                None => Err(Failure::invalid("words: a variable without =")),
            })
            .collect::<Result<_, Failure>>()?;
        Ok((argv, env))
    }
}

/// `words`: NUL-terminated strings, arguments first.
pub fn receive(worker: &mut Worker, request: Words, kept: &KeptWords) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    while let Some(more) = worker.receive()? {
        if bytes.len() + more.len() > MAX_BYTES {
            return Err(Failure::new(Kind::Limit, format!("words: more than {MAX_BYTES} bytes")));
        }
        bytes.extend_from_slice(&more);
    }
    let words = String::from_utf8(bytes).map_err(|_| Failure::invalid("words: not UTF-8"))?;
    kept.keep(request.id, words);
    worker.finish(Nothing {});
    Ok(())
}
