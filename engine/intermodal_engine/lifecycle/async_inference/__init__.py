"""Asynchronous inference: requests wait in their endpoint's queue, and answers lie in S3.

https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html
"""
