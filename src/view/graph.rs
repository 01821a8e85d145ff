//! The picture of the objects of a moment.

use crate::kernel::ns::NsType;
use crate::tree::Census;
use crate::tree::graph::{Focus, draw_objects};

/// The picture of what is meant by `query`: `pid=7`, `ns=4026532177`, `type=net,pid`, nothing for all.
///
/// # Errors
/// What is wrong with the query, or not there, in words.
pub(super) fn draw(tree: &str, query: &[(String, String)]) -> Result<String, String> {
    let census = Census::from_json(tree)?;
    let mut focus = Focus::default();
    for (key, value) in query {
        let wrong = || format!("{key}={value}: no such thing");
        match key.as_str() {
            "pid" => focus.pids.push(value.parse().map_err(|_| wrong())?),
            "ns" => focus.inums.push(value.parse().map_err(|_| wrong())?),
            "type" => {
                for name in value.split(',') {
                    focus.types.push(NsType::from_name(name).ok_or_else(wrong)?);
                }
            }
            _ => {}
        }
    }
    draw_objects(&census, &focus).map_err(|error| error.to_string())
}
