# docker build -t mlemo . && docker run --rm -v "$PWD/runs:/app/runs" mlemo fit --config configs/experiment/synthetic.yaml
FROM python:3.12-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY mlemo mlemo
COPY configs configs
RUN pip install --no-cache-dir .
ENTRYPOINT ["mlemo"]
