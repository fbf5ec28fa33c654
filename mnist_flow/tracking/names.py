"""Names that runs carry in MLflow, and variables that a sweep's jobs find."""

# Hydra sets these around the jobs of a sweep.
EXPERIMENT_ID_VARIABLE = "MNIST_FLOW_EXPERIMENT_ID"
PARENT_RUN_ID_VARIABLE = "MNIST_FLOW_PARENT_RUN_ID"
# Config paths that tell the jobs apart, with commas between.
VARYING_VARIABLE = "MNIST_FLOW_VARYING"

# train, sweep, evaluation or analysis.
KIND_TAG = "mnist_flow.kind"
# See identity.Identity.
FINGERPRINT_TAG = "mnist_flow.fingerprint"
GROUP_TAG = "mnist_flow.group"
RECIPE_TAG = "mnist_flow.recipe"
# Version of the code, see environment.digest_code.
CODE_TAG = "mnist_flow.code"
# The data's digest.
DATA_TAG = "mnist_flow.data"
# The process that the run belongs to, see processes.describe_process, and when it was last heard of, in Unix seconds.
PROCESS_TAG = "mnist_flow.process"
HEARTBEAT_TAG = "mnist_flow.heartbeat"
# Of a run that a search ended early: how many epochs it had finished, and why, in words.
PRUNED_TAG = "mnist_flow.pruned"
PRUNED_BECAUSE_TAG = "mnist_flow.pruned_because"
# Of a run of a search: the number of its trial, what was chosen for it (JSON), and, of a run that confirms one of the
# best with a fresh seed, `true`. A parent has TRIAL_TAG.N for a trial N whose runs were finished before.
TRIAL_TAG = "mnist_flow.trial"
CHOICES_TAG = "mnist_flow.choices"
CONFIRMS_TAG = "mnist_flow.confirms"
# Of a training run whose model was logged and deleted since: by what.
MODEL_DELETED_TAG = "mnist_flow.model_deleted"
# Of an imported run: the run that it was in the store where it was made; the other tag while it is being imported.
ORIGIN_TAG = "mnist_flow.origin"
IMPORTING_TAG = "mnist_flow.importing"
# Of the parent run of a sweep: what was typed, as one text. Parents older than the tag have it as their NOTE_TAG.
OVERRIDES_TAG = "mnist_flow.overrides"
# The run that this one repeats, and whether their metrics are identical.
RERUN_OF_TAG = "mnist_flow.rerun_of"
RERUN_AGREES_TAG = "mnist_flow.rerun_agrees"
# The run of fewer epochs whose last state this one went on from.
CONTINUES_TAG = "mnist_flow.continues"
# Of an evaluation: what it measures (shift, gaussian, …), and the training run whose model it measures.
MEASURE_TAG = "mnist_flow.measure"
MEASURED_RUN_TAG = "mnist_flow.measured_run"

# MLflow's own.
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
TABLES_TAG = "mlflow.loggedArtifacts"
