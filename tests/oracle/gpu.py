"""The GPUs on which the oracle judges."""

from nim.engine.inspection.pretend_gpu_build import H100, Gpu

GPUS = {
    "7.5": Gpu(name="Tesla T4", capability=(7, 5), memory=16 << 30, processors=40),
    "9.0": H100,
    "10.0": Gpu(name="NVIDIA B200", capability=(10, 0), memory=180 << 30, processors=148),
}
