"""Reads headers and decodes every file of a folder with pydicom: prints processes and files per second."""

import sys
import time
from multiprocessing import Pool
from pathlib import Path

import numpy
import pydicom

WANTED = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "Modality", "Rows", "Columns")


def decode(path):
    data_set = pydicom.dcmread(path)
    header = [data_set.get(name) for name in WANTED]
    slope = numpy.float32(data_set.get("RescaleSlope", 1))
    intercept = numpy.float32(data_set.get("RescaleIntercept", 0))
    pixels = data_set.pixel_array.astype(numpy.float32) * slope + intercept
    return len(header) * 0 + pixels.size


if __name__ == "__main__":
    files = sorted(Path(sys.argv[1]).glob("*.dcm"))
    processes = int(sys.argv[2])
    start = time.perf_counter()
    if processes == 1:
        sizes = [decode(path) for path in files]
    else:
        with Pool(processes) as pool:
            sizes = pool.map(decode, files, chunksize=16)
    seconds = time.perf_counter() - start
    assert all(size == 512 * 512 for size in sizes)
    print(processes, f"{len(files) / seconds:.1f}")
