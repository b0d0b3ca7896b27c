//! Texts that a person may have the model begin with.

use crate::mcp::protocol::code;
use crate::mcp::server::{Argument, Prompt, Step};
use serde_json::{Map, Value, json};

pub(super) const PROMPTS: [Prompt; 2] = [
    Prompt {
        name: "ask_another_module",
        title: "Ask another module",
        description: "Has a question answered by the agent of another module, and works on with the answer.",
        tool: Some("ask_module"),
        arguments: &[
            Argument {
                name: "module",
                description: "Whom: a module's name, or an absolute directory.",
                required: true,
            },
            Argument { name: "question", description: "What is to be found out.", required: true },
        ],
    },
    Prompt {
        name: "share_out_work",
        title: "Share work out among the workers of a pool",
        description: "Splits work into parts that do not depend on each other and has a pool do them at the same time.",
        tool: Some("execute_batch_on_pool"),
        arguments: &[
            Argument { name: "work", description: "What is to be done.", required: true },
            Argument { name: "pool_id", description: "Which pool; else whichever suits.", required: false },
        ],
    },
];

pub(super) fn get(name: &str, arguments: &Map<String, Value>) -> Step {
    let Some(prompt) = PROMPTS.iter().find(|prompt| prompt.name == name) else {
        return Step::error(code::INVALID_PARAMS, &format!("Unknown prompt: {name}"));
    };
    let of = |name: &str| arguments.get(name).and_then(Value::as_str);
    let text = match name {
        "ask_another_module" => ask(of("module").unwrap_or_default(), of("question").unwrap_or_default()),
        _ => share_out(of("work").unwrap_or_default(), of("pool_id")),
    };
    let message = json!({"role": "user", "content": {"type": "text", "text": text}});
    Step::complete(json!({"description": prompt.description, "messages": [message]}))
}

fn ask(module: &str, question: &str) -> String {
    format!(
        "Find out from the module {module}: {question}

If {module} is neither a name that list_modules shows nor an absolute path, tell me which modules there are and ask which one I \
mean. Otherwise call ask_module with to = {module:?}, and from = the absolute path of the directory that you work in. Its agent \
knows nothing of our conversation: write a question that stands for itself, with the names of files, versions and error \
messages that it needs. Then tell me the answer, what of it you have checked, and the thread_id. If it fails, tell me its \
error; do not answer in its place."
    )
}

fn share_out(work: &str, pool: Option<&str>) -> String {
    let choice = match pool {
        Some(pool) => format!("the pool {pool}"),
        None => "a pool of list_pools that is running, healthy and has little to do".to_owned(),
    };
    format!(
        "Have this done by the workers of a pool: {work}

Split it into parts that do not depend on each other and touch no file in common; if it cannot be split so, say why and do not. \
Write a prompt for each part that stands for itself: its worker knows nothing of our conversation or of the other parts. Say in \
each what to do, where, and what to answer with. Give them to {choice} with execute_batch_on_pool, with the absolute path of the \
repository as context.repo. Look at the `success` of each result, do again once what failed for a reason that will pass, and put \
the results together. Tell me what was done, by which task_id, and what was not."
    )
}
