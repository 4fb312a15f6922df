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


def place_of(image, reference):
    """Position and orientation of the frame that is referred to."""
    if "NumberOfFrames" not in image:
        return image.ImagePositionPatient, image.ImageOrientationPatient
    groups = image.PerFrameFunctionalGroupsSequence[int(reference.ReferencedFrameNumber) - 1]
    shared = image.SharedFunctionalGroupsSequence[0]
    return (groups.PlanePositionSequence[0].ImagePositionPatient,
            shared.PlaneOrientationSequence[0].ImageOrientationPatient)


def content(item, meaning):
    """All content items of that name, below the item."""
    for child in item.get("ContentSequence", []):
        names = child.get("ConceptNameCodeSequence")
        if names and names[0].CodeMeaning == meaning:
            yield child
        yield from content(child, meaning)


def outlined_series(segmentation, report, folder):
    """The outline of a series refers to every instance of it, each frame lies where its source
    does, and the report has each segment's volume."""
    seg, sr = pydicom.dcmread(segmentation), pydicom.dcmread(report)
    images = {}
    for file in pathlib.Path(folder).rglob("*.dcm"):
        image = pydicom.dcmread(file)
        images[image.SOPInstanceUID] = image
    series = seg.ReferencedSeriesSequence[0]
    named = {i.ReferencedSOPInstanceUID for i in series.ReferencedInstanceSequence}
    must(named == set(images), "it refers to every instance of the series")
    some = next(iter(images.values()))
    must(series.SeriesInstanceUID == some.SeriesInstanceUID, "and names the series")
    must(seg.StudyInstanceUID == some.StudyInstanceUID, "it is in the study")
    must(seg.FrameOfReferenceUID == some.FrameOfReferenceUID, "in the same coordinates")
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    must(len(frames) == seg.NumberOfFrames, "as many frames as it says")
    must((seg.Rows, seg.Columns) == (some.Rows, some.Columns), "of the slices' size")
    shared = seg.SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    counts = {}
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence):
        reference = groups.DerivationImageSequence[0].SourceImageSequence[0]
        position, orientation = place_of(images[reference.ReferencedSOPInstanceUID], reference)
        own = groups.PlanePositionSequence[0].ImagePositionPatient
        must(numpy.allclose(own, position, atol=1e-3), "each frame lies where its source does")
        angle = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        must(numpy.allclose(angle, orientation, atol=1e-4), "at the same angle")
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        counts[number] = counts.get(number, 0) + int((frame != 0).sum())
    voxel = numpy.prod([float(x) for x in measures.PixelSpacing])
    voxel *= float(measures.SpacingBetweenSlices) / 1000
    groups = list(content(sr, "Measurement Group"))
    must(len(groups) == len(seg.SegmentSequence), "a measurement group a segment")
    for number, group in enumerate(groups, start=1):
        volume = next(content(group, "Volume")).MeasuredValueSequence[0]
        must(volume.MeasurementUnitsCodeSequence[0].CodeValue == "ml", "in millilitres")
        must(abs(float(volume.NumericValue) - counts[number] * voxel) < 1e-3, "as it was outlined")
        source = next(content(group, "Source series for segmentation"))
        must(source.UID == some.SeriesInstanceUID, "of the series")
    print(f"{len(images)} instances, {len(frames)} frames, voxels {counts}")


def brightest(segmentation, folder):
    """The mask is of all voxels from a value on: each source voxel has a value of its own."""
    seg = pydicom.dcmread(segmentation)
    images = {}
    for file in pathlib.Path(folder).iterdir():
        image = pydicom.dcmread(file)
        images[image.SOPInstanceUID] = image
    everything = sorted(int(v) for image in images.values() for v in image.pixel_array.flatten())
    found = []
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence):
        reference = groups.DerivationImageSequence[0].SourceImageSequence[0]
        values = images[reference.ReferencedSOPInstanceUID].pixel_array
        found += [int(value) for value in values[frame != 0]]
    must(0 < len(found) < len(everything), "some voxels are in it, and some not")
    must(sorted(found) == everything[-len(found):], "those are the brightest")


if __name__ == "__main__":
    {
        "same-patient-and-study": same_patient_and_study,
        "activation": activation,
        "picture": picture,
        "voxels": voxels,
        "outlined-series": outlined_series,
        "brightest": brightest,
    }[sys.argv[1]](*sys.argv[2:])
