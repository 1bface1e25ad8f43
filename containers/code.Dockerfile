# What `make build-train CODE=folder` builds of a folder that has no Dockerfile of its own: the
# folder is the image's code, `train.py` or `inference.py` what it runs.
ARG IMAGE
# hadolint ignore=DL3006
FROM ${IMAGE}
COPY . /opt/ml/code
ARG PROGRAM
ENV SAGEMAKER_PROGRAM=${PROGRAM} \
    SAGEMAKER_SUBMIT_DIRECTORY=/opt/ml/code
RUN if [ -f /opt/ml/code/requirements.txt ]; then \
        pip install --no-cache-dir --requirement /opt/ml/code/requirements.txt; fi
