"""The root of every error that is meant for a person.

IntermodalError
├── statuses.IllegalTransitionError     a step that no job or endpoint may take
├── instance.UnknownInstanceTypeError   an instance type that is not in the table
├── image.InvalidImageUriError          an image name that no registry would accept
├── vendor_images.UnknownVendorImageError  an image that the vendor does not have
├── channel.InvalidS3UriError           an S3 URI that names no bucket
├── channel.InvalidChannelError         an input channel that asks for what is not there
├── artifact.ArchiveError               a .tar.gz could not be made or read
│   ├── artifact.CorruptArchiveError        not a tar archive, or cut short
│   └── artifact.UnsafeArchiveError         it would write where it must not, or too much
└── training_files.ContractFileError    a file below /opt/ml does not hold what it must
"""


class IntermodalError(Exception):
    """Something a person can act upon.

    Args:
        message: what happened, and to whom; one sentence or more, no traceback.
        hint: what to do about it.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"
