//! `CLUSTER`: what can be told of a cluster that is one server.

use sluice_core::redis::Reply;

use super::{Arg, Fail, Out, int};
use crate::redis::cluster::{SLOTS, slot};
use crate::redis::{State, Version};

pub(super) fn cluster(state: &mut State, args: &[Arg]) -> Out {
    // Where a key would be is no secret to Valkey 9.
    let word = &args[1];
    let open = state.version == Version::Valkey9 && word.is("KEYSLOT");
    if state.nodes == 0 && !open {
        return Err(Fail::fixed(
            "ERR This instance has cluster support disabled",
        ));
    }
    if word.is("KEYSLOT") {
        return match args {
            [_, _, key] => int(usize::from(slot(key))),
            _ => Err(Fail::arity("cluster|keyslot")),
        };
    }
    if word.is("INFO") && args.len() == 2 {
        let nodes = state.nodes;
        return Ok(Reply::bulk(format!(
            "cluster_state:ok\r\ncluster_slots_assigned:{SLOTS}\r\ncluster_slots_ok:{SLOTS}\r\n\
             cluster_known_nodes:{nodes}\r\ncluster_size:{nodes}\r\n"
        )));
    }
    Err(Fail::subcommand(word, "CLUSTER"))
}
