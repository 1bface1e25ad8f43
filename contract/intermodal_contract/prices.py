"""What instances of SageMaker cost an hour, so that a bill can be guessed before it is made.

A table grows old, and this one comes from public copies of AWS's list, not from the list: it is
dated, only what several of them agree on is in it, and what is not in it has no price here rather
than a wrong one. `SOURCE` has today's. Families whose prices AWS has cut since (`p4d`, `p5`) are
left out.
"""

from collections.abc import Mapping

AS_OF = "January 2025"
REGION = "us-east-1"
SOURCE = "https://aws.amazon.com/sagemaker/ai/pricing/"

# family -> size -> USD an hour, on demand, for training and for hosting alike.
_FAMILIES: Mapping[str, Mapping[str, float]] = {
    "t3": {"medium": 0.05, "large": 0.1, "xlarge": 0.2, "2xlarge": 0.399},
    "m5": {
        "large": 0.115,
        "xlarge": 0.23,
        "2xlarge": 0.461,
        "4xlarge": 0.922,
        "12xlarge": 2.765,
        "24xlarge": 5.53,
    },
    "c5": {
        "large": 0.102,
        "xlarge": 0.204,
        "2xlarge": 0.408,
        "4xlarge": 0.816,
        "9xlarge": 1.836,
        "18xlarge": 3.672,
    },
    "r5": {"large": 0.151, "2xlarge": 0.605, "4xlarge": 1.21, "8xlarge": 2.419, "16xlarge": 4.838},
    "g4dn": {
        "xlarge": 0.736,
        "2xlarge": 0.94,
        "4xlarge": 1.505,
        "8xlarge": 2.72,
        "12xlarge": 4.89,
        "16xlarge": 5.44,
    },
    "g5": {
        "xlarge": 1.408,
        "2xlarge": 1.515,
        "4xlarge": 2.03,
        "8xlarge": 3.06,
        "12xlarge": 7.09,
        "16xlarge": 5.12,
        "24xlarge": 10.18,
        "48xlarge": 20.36,
    },
    "p3": {"2xlarge": 3.825, "8xlarge": 14.688, "16xlarge": 28.152},
    "inf2": {"xlarge": 0.99, "8xlarge": 2.36, "24xlarge": 7.79, "48xlarge": 15.58},
}

HOURLY_USD: Mapping[str, float] = {
    f"ml.{family}.{size}": price
    for family, sizes in _FAMILIES.items()
    for size, price in sizes.items()
}
"""USD an hour by instance type, on demand, in `REGION` as of `AS_OF`."""
