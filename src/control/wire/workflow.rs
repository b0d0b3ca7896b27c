//! What `workflow.*` answers.

use serde::{Deserialize, Serialize};

/// Result of `workflow.run`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkflowStarted {
    pub workflow_id: String,
    pub status: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// The event that says that it has started: follow from here to miss nothing.
    #[serde(default)]
    pub seq: Option<u64>,
}

/// Result of `workflow.show`, `workflow.cancel` and `workflow.wait`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workflow {
    pub workflow_id: String,
    pub name: String,
    pub status: String,
    pub current_stage: Option<String>,
    pub stages_completed: usize,
    pub total_stages: usize,
    pub error: Option<String>,
    pub created_at: String,
    pub ended_at: Option<String>,
    pub stages: Vec<WorkflowStage>,
    pub tasks: Vec<WorkflowTask>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkflowStage {
    pub name: String,
    /// pending, running, completed, failed or cancelled.
    pub status: String,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkflowTask {
    pub stage: String,
    pub name: String,
    pub task_id: String,
    pub pool_id: String,
    pub status: String,
    pub reason: Option<String>,
    pub attempt: u32,
    pub exit_code: Option<i32>,
    pub exit_signal: Option<i32>,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
    pub duration_seconds: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workflows {
    pub workflows: Vec<WorkflowSummary>,
    #[serde(default)]
    pub next: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkflowSummary {
    pub workflow_id: String,
    pub name: String,
    pub status: String,
    pub stages_completed: usize,
    pub total_stages: usize,
    pub error: Option<String>,
    pub created_at: String,
    pub ended_at: Option<String>,
}
