# cnnkit for processors, from its wheel:
#
#     docker build -t cnnkit .
#     docker run --rm --network none -v "$PWD:/pictures" cnnkit detect photo.jpg
#
# The build needs the package index, running needs no network.
FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && python -m venv /opt/cnnkit \
    && /opt/cnnkit/bin/pip install --no-cache-dir --no-deps /wheels/*.whl
# TensorFlow's package for processors alone takes half of the room; it has the same modules.
RUN /opt/cnnkit/bin/python -c "import importlib.metadata as m; print('\n'.join(m.requires('cnnkit')))" \
    | grep -v 'extra ==' | sed 's/^tensorflow>/tensorflow-cpu>/' > /requirements.txt \
    && /opt/cnnkit/bin/pip install --no-cache-dir -r /requirements.txt \
    && find /opt/cnnkit -name tests -type d -prune -exec rm -rf {} + \
    && find /opt/cnnkit -path '*tensorflow/include' -prune -exec rm -rf {} +

FROM python:3.12-slim
COPY --from=build /opt/cnnkit /opt/cnnkit
# Who runs it owns what is written; compiled networks and galleries lie in /home/cnnkit.
RUN useradd --create-home --uid 1000 cnnkit
USER cnnkit
ENV PATH=/opt/cnnkit/bin:$PATH
WORKDIR /pictures
ENTRYPOINT ["cnnkit"]
CMD ["--help"]
