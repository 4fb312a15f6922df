#include "datasets/refusal.h"

#include "common/base/status.h"

namespace consilium::datasets {
namespace {

struct Words {
  std::string_view name, phrase;
};

Words WordsFor(Refusal reason) {
  switch (reason) {
    case Refusal::kNone:
      return {"accepted", "accepted"};
    case Refusal::kUnreadable:
      return {"unreadable", "cannot be read"};
    case Refusal::kNotDicom:
      return {"not-dicom", "not DICOM"};
    case Refusal::kDamaged:
      return {"damaged", "truncated or damaged"};
    case Refusal::kUnsupportedTransferSyntax:
      return {"unsupported-transfer-syntax", "unsupported transfer syntax"};
    case Refusal::kNoPixelData:
      return {"no-pixel-data", "no pixel data"};
    case Refusal::kSeveralFrames:
      return {"several-frames", "several frames where one is wanted"};
    case Refusal::kColourImage:
      return {"colour-image", "colour image"};
    case Refusal::kUnsupportedBits:
      return {"unsupported-bits", "unsupported bits per pixel"};
    case Refusal::kMissingSopInstanceUid:
      return {"missing-sop-instance-uid", "no SOP instance UID"};
    case Refusal::kMissingPatientId:
      return {"missing-patient-id", "no patient ID"};
    case Refusal::kBurnedInAnnotation:
      return {"burned-in-annotation", "burned-in annotation"};
    case Refusal::kTooLarge:
      return {"too-large", "too large"};
    case Refusal::kUndecodable:
      return {"undecodable", "pixels cannot be decoded"};
    case Refusal::kDuplicateInstance:
      return {"duplicate-instance", "duplicate of another file"};
    case Refusal::kMissingLabel:
      return {"missing-label", "missing label"};
    case Refusal::kConflictingLabels:
      return {"conflicting-labels", "two different labels for the same key"};
    case Refusal::kNoPixelSpacing:
      return {"no-pixel-spacing", "pixel spacing not known"};
    case Refusal::kUnwantedModality:
      return {"unwanted-modality", "modality not wanted"};
    case Refusal::kMissingModality:
      return {"missing-modality", "no modality"};
    case Refusal::kNoGeometry:
      return {"no-geometry", "position, orientation or spacing missing or impossible"};
    case Refusal::kTooFewSlices:
      return {"too-few-slices", "too few slices for a volume"};
    case Refusal::kMixedOrientations:
      return {"mixed-orientations", "slices of different orientations"};
    case Refusal::kMixedSizes:
      return {"mixed-sizes", "slices of different matrix or pixel spacing"};
    case Refusal::kSeveralStacks:
      return {"several-stacks", "several stacks in one series"};
    case Refusal::kDuplicatePosition:
      return {"duplicate-position", "two slices at the same position"};
    case Refusal::kMissingSlices:
      return {"missing-slices", "missing slices"};
    case Refusal::kUnevenSpacing:
      return {"uneven-spacing", "uneven distances between slices"};
    case Refusal::kGantryTilt:
      return {"gantry-tilt", "gantry tilt"};
    case Refusal::kOtherFrameOfReference:
      return {"other-frame-of-reference", "another frame of reference"};
    case Refusal::kNoSuvFactor:
      return {"no-suv-factor", "no standardised uptake values from this header"};
    case Refusal::kUnsupportedTarget:
      return {"unsupported-target", "not a target that can be read"};
    case Refusal::kNoReference:
      return {"no-reference", "what it refers to is not there"};
    case Refusal::kOutsideVolume:
      return {"outside-volume", "not on the volume's grid"};
    case Refusal::kRecognizableFace:
      return {"recognizable-face", "recognizable face"};
    case Refusal::kDocument:
      return {"document", "document or video whose content cannot be cleaned"};
    case Refusal::kNotAnInstance:
      return {"not-an-instance", "no image or other instance"};
    case Refusal::kCrashedReader:
      return {"crashed-reader", "the reader crashed on it"};
    case Refusal::kReaderTookTooLong:
      return {"reader-took-too-long", "reading it took too long"};
    case Refusal::kReaderNeededTooMuchMemory:
      return {"reader-needed-too-much-memory", "reading it needed too much memory"};
    case Refusal::kUnwantedView:
      return {"unwanted-view", "view not wanted"};
    case Refusal::kUnwantedAge:
      return {"unwanted-age", "age not wanted, or not known"};
    case Refusal::kNotForTraining:
      return {"not-for-training", "no image that training can use"};
    case Refusal::kGreyImage:
      return {"grey-image", "grey where colour is wanted"};
    case Refusal::kUnwantedLabel:
      return {"unwanted-label", "label is none of the plan's classes"};
    case Refusal::kNoMask:
      return {"no-mask", "no segmentation of it"};
    case Refusal::kNotARecording:
      return {"not-a-recording", "neither a WAV file nor a DICOM waveform"};
    case Refusal::kUnsupportedSound:
      return {"unsupported-sound", "samples in a form that is not read"};
    case Refusal::kTooShort:
      return {"too-short", "too short a recording"};
    case Refusal::kLowSampleRate:
      return {"low-sample-rate", "sample rate far below the plan's"};
    case Refusal::kSilence:
      return {"silence", "nothing is heard in it"};
    case Refusal::kNoTime:
      return {"no-time", "observed for no time"};
  }
  CONSILIUM_CHECK(false);
}

}  // namespace

std::string_view Name(Refusal reason) { return WordsFor(reason).name; }
std::string_view Phrase(Refusal reason) { return WordsFor(reason).phrase; }

std::optional<Refusal> RefusalNumbered(std::int64_t number) {
  if (number < 0 || number > static_cast<std::int64_t>(Refusal::kNoTime)) {
    return std::nullopt;
  }
  return static_cast<Refusal>(number);
}

}  // namespace consilium::datasets
