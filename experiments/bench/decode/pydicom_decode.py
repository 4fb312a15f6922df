"""Reads the headers of every file of a folder, then decodes them, with pydicom: prints files per second of both."""

import sys
import time
from multiprocessing import Pool
from pathlib import Path

import numpy
import pydicom

WANTED = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "Modality", "Rows", "Columns")


def header(path):
    data_set = pydicom.dcmread(path, stop_before_pixels=True)
    return len([data_set.get(name) for name in WANTED])


def decode(path):
    data_set = pydicom.dcmread(path)
    slope = numpy.float32(data_set.get("RescaleSlope", 1))
    intercept = numpy.float32(data_set.get("RescaleIntercept", 0))
    return (data_set.pixel_array.astype(numpy.float32) * slope + intercept).size


def rate(read, files, processes, expected):
    start = time.perf_counter()
    if processes == 1:
        results = [read(path) for path in files]
    else:
        with Pool(processes) as pool:
            results = pool.map(read, files, chunksize=16)
    seconds = time.perf_counter() - start
    assert all(result == expected for result in results)
    return len(files) / seconds


if __name__ == "__main__":
    files = sorted(Path(sys.argv[1]).glob("*.dcm"))
    processes = int(sys.argv[2])
    print(f"{rate(header, files, processes, len(WANTED)):.1f} {rate(decode, files, processes, 512 * 512):.1f}")
