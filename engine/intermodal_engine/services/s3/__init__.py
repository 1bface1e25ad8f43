"""S3 over the store of objects: the operations that clients of the machine-learning world use."""

from intermodal_engine.services.call import Operation
from intermodal_engine.services.s3 import buckets, listing, multipart, reading, tagging, writing
from intermodal_engine.services.s3.faults import plain, streaming

OPERATIONS: dict[str, Operation] = {
    **buckets.FRESH_BUCKET,
    "AbortMultipartUpload": plain(multipart.abort_multipart_upload),
    "CompleteMultipartUpload": plain(multipart.complete_multipart_upload),
    "CopyObject": plain(writing.copy_object),
    "CreateBucket": plain(buckets.create_bucket),
    "CreateMultipartUpload": plain(multipart.create_multipart_upload),
    "DeleteBucket": plain(buckets.delete_bucket),
    "DeleteObject": plain(writing.delete_object),
    "DeleteObjectTagging": plain(tagging.delete_object_tagging),
    "DeleteObjects": plain(writing.delete_objects),
    "GetBucketAcl": plain(buckets.get_bucket_acl),
    "GetBucketLocation": plain(buckets.get_bucket_location),
    "GetObject": plain(reading.get_object),
    "GetObjectAcl": plain(buckets.get_object_acl),
    "GetObjectAttributes": plain(reading.get_object_attributes),
    "GetObjectTagging": plain(tagging.get_object_tagging),
    "HeadBucket": plain(buckets.head_bucket),
    "HeadObject": plain(reading.head_object),
    "ListBuckets": plain(buckets.list_buckets),
    "ListMultipartUploads": plain(multipart.list_multipart_uploads),
    "ListObjectVersions": plain(listing.list_object_versions),
    "ListObjects": plain(listing.list_objects),
    "ListObjectsV2": plain(listing.list_objects_v2),
    "ListParts": plain(multipart.list_parts),
    "PutObject": streaming(writing.put_object),
    "PutObjectTagging": plain(tagging.put_object_tagging),
    "UploadPart": streaming(multipart.upload_part),
    "UploadPartCopy": plain(multipart.upload_part_copy),
}
"""Operations by name."""
