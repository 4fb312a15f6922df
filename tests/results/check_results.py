#!/usr/bin/python3
"""Reads what was written with pydicom, and says what is not as it must be."""

import pathlib
import sys

import numpy
import pydicom

PATIENT_AND_STUDY = [
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyInstanceUID",
    "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "StudyDescription",
    "ReferringPhysicianName",
]


def must(condition, what):
    if not condition:
        sys.exit(f"not so: {what}")


def same_patient_and_study(image, result):
    image, result = pydicom.dcmread(image, force=True), pydicom.dcmread(result)
    for keyword in PATIENT_AND_STUDY:
        was, is_now = image.get(keyword), result.get(keyword)
        must((was or "") == (is_now or ""), f"{keyword} is the image's")
    must(result.SeriesInstanceUID != image.SeriesInstanceUID, "it is a series of its own")
    must("research use only" in result.SeriesDescription, "it says what it is for")
    must(result.DeviceSerialNumber == "3f" * 32, "it names the model by its hash")


def activation(segmentation, image):
    seg, image = pydicom.dcmread(segmentation), pydicom.dcmread(image)
    must(seg.SegmentationType == "FRACTIONAL" and seg.MaximumFractionalValue == 255, "fractional")
    values = seg.pixel_array
    must(values.shape == (image.Rows, image.Columns), "of the image's size")
    expected = [255 * column // (image.Columns - 1) for column in range(image.Columns)]
    must((values == numpy.array(expected)).all(), "the values are those that were written")
    source = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    must(source.ReferencedSOPInstanceUID == image.SOPInstanceUID, "it refers to its image")
    must(seg.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC", "made by an algorithm")


def picture(capture, image):
    capture, image = pydicom.dcmread(capture), pydicom.dcmread(image)
    must(capture.BurnedInAnnotation == "YES", "text is burned in, and it says so")
    must(capture.ImageType[0] == "DERIVED", "derived")
    must(capture.pixel_array.shape == (capture.Rows, capture.Columns, 3), "in colour")
    reference = capture.SourceImageSequence[0].ReferencedSOPInstanceUID
    must(reference == image.SOPInstanceUID, "it refers to its image")


def voxels(segmentation, folder):
    """Every set pixel lies where the same pixel of its source image lies, and codes that pixel's
    value: the sources hold column + 20 * row + 400 * slice."""
    seg = pydicom.dcmread(segmentation)
    images = {}
    for file in pathlib.Path(folder).iterdir():
        image = pydicom.dcmread(file)
        images[image.SOPInstanceUID] = image
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = [float(x) for x in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
    spacing = [float(x) for x in shared.PixelMeasuresSequence[0].PixelSpacing]
    found = set()
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence):
        reference = groups.DerivationImageSequence[0].SourceImageSequence[0]
        image = images[reference.ReferencedSOPInstanceUID]
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        must(numpy.allclose(position, image.ImagePositionPatient, atol=1e-6), "the source's place")
        must(numpy.allclose(orientation, image.ImageOrientationPatient, atol=1e-6), "its angle")
        must(numpy.allclose(spacing, image.PixelSpacing, atol=1e-9), "its spacing")
        values = image.pixel_array - 1000
        found |= {int(value) for value in values[frame != 0]}
    expected = {1 + 20 * 2} | {400 + 2 + 20 * row for row in range(1, 5)} | {400 + 3 + 20 * 4}
    expected |= {1200 + column for column in range(4, 9)}
    must(found == expected, f"the mask covers {sorted(expected)}, not {sorted(found)}")


if __name__ == "__main__":
    {
        "same-patient-and-study": same_patient_and_study,
        "activation": activation,
        "picture": picture,
        "voxels": voxels,
    }[sys.argv[1]](*sys.argv[2:])
