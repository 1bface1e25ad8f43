"""The reference page and the code say the same."""

from pathlib import Path

from intermodal_contract import env
from intermodal_training.environment import TORCH_VARIABLES, VARIABLES
from intermodal_training.reference import render

PAGE = Path(__file__).parents[3] / "docs/reference/environment.md"

# What the vendor's training toolkit 5.1.4 sets.
VENDOR = {
    *("SM_HOSTS", "SM_NETWORK_INTERFACE_NAME", "SM_HPS", "SM_USER_ENTRY_POINT", "SM_CHANNELS"),
    *("SM_FRAMEWORK_PARAMS", "SM_RESOURCE_CONFIG", "SM_INPUT_DATA_CONFIG", "SM_OUTPUT_DATA_DIR"),
    *("SM_CURRENT_HOST", "SM_CURRENT_INSTANCE_TYPE", "SM_CURRENT_INSTANCE_GROUP", "SM_IS_HETERO"),
    *("SM_CURRENT_INSTANCE_GROUP_HOSTS", "SM_INSTANCE_GROUPS", "SM_INSTANCE_GROUPS_DICT"),
    *("SM_DISTRIBUTION_INSTANCE_GROUPS", "SM_MODULE_NAME", "SM_LOG_LEVEL", "SM_FRAMEWORK_MODULE"),
    *("SM_INPUT_DIR", "SM_INPUT_CONFIG_DIR", "SM_OUTPUT_DIR", "SM_NUM_CPUS", "SM_NUM_GPUS"),
    *("SM_NUM_NEURONS", "SM_MODEL_DIR", "SM_MODULE_DIR", "SM_TRAINING_ENV", "SM_USER_ARGS"),
    *("SM_OUTPUT_INTERMEDIATE_DIR", "SM_TOPOLOGY", "SAGEMAKER_JOB_NAME", "CURRENT_HOST"),
    "SAGEMAKER_REGION",
}


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == render(), (
        "stale: run `python -m intermodal_training.reference > docs/reference/environment.md`"
    )


def test_every_variable_of_the_vendors_toolkit_is_set() -> None:
    assert {variable.name for variable in VARIABLES} >= VENDOR


def test_every_variable_is_told_once_with_an_example() -> None:
    page = render()
    for variable in (*VARIABLES, *TORCH_VARIABLES):
        row = [line for line in page.splitlines() if line.startswith(f"| `{variable.name}` |")]
        assert len(row) == 1
        assert row[0].count("|") >= 4
    assert f"`{env.HOST_WAIT_S}`" in page
