#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace consilium::datasets {

// Why an image file is not used. The numbers are stored in catalogs: append only.
enum class Refusal {
  kNone = 0,
  kUnreadable = 1,  // the system would not let us read it
  kNotDicom = 2,    // no DICOM file meta information and no data set
  kDamaged = 3,     // truncated, or its structure contradicts itself
  kUnsupportedTransferSyntax = 4,
  kNoPixelData = 5,
  kSeveralFrames = 6,
  kColourImage = 7,      // of a kind that is not read, or where grey is wanted
  kUnsupportedBits = 8,  // bits allocated other than 1, 8, 16 or 32, or bits stored beyond them
  kMissingSopInstanceUid = 9,
  kMissingPatientId = 10,
  kBurnedInAnnotation = 11,
  kTooLarge = 12,
  kUndecodable = 13,        // the header is sound but the compressed pixels are not
  kDuplicateInstance = 14,  // another file holds the same SOP instance
  kMissingLabel = 15,       // labels.csv has nothing for it
  kConflictingLabels = 16,  // labels.csv has two different values for its key
  kNoPixelSpacing = 17,  // the plan resamples by millimetres and the file does not say its spacing
  kUnwantedModality = 18,  // not among the plan's modalities
  kMissingModality = 19,
  // Of series and volumes.
  kNoGeometry = 20,         // position, orientation or spacing is missing or impossible
  kTooFewSlices = 21,       // fewer than a volume needs
  kMixedOrientations = 22,  // slices that are not parallel, such as localisers
  kMixedSizes = 23,         // another matrix or pixel spacing within a series
  kSeveralStacks = 24,      // several echoes, acquisitions, time points ... in one series
  kDuplicatePosition = 25,  // two slices at the same place
  kMissingSlices = 26,      // a gap in an otherwise even stack
  kUnevenSpacing = 27,      // slices at no even distance, or shifted sideways
  kGantryTilt = 28,  // a tilted stack that is not to be resampled, or that contradicts itself
  kOtherFrameOfReference = 29,  // its coordinates are not those of the volume
  kNoSuvFactor = 30,            // the header does not allow standardised uptake values
  // Of targets: segmentations, structure sets, reports.
  kUnsupportedTarget = 31,  // another kind of object, or one with content that is not read
  kNoReference = 32,        // what it refers to is not there
  kOutsideVolume = 33,      // its geometry does not lie on the volume's grid
  kRecognizableFace = 34,   // a head in CT or MR, which the policy neither cleans nor accepts
  kDocument = 35,           // an encapsulated document or a video, whose content cannot be cleaned
  kNotAnInstance = 36,      // a media directory, or no SOP class
  // Of files that the worker which read them did not survive (datasets/worker).
  kCrashedReader = 37,
  kReaderTookTooLong = 38,
  kReaderNeededTooMuchMemory = 39,
  // Of what a plan asks of its images.
  kUnwantedView = 40,
  kUnwantedAge = 41,     // or an age that is not known
  kNotForTraining = 42,  // an object with pixels, or without, that is no image of a patient
  kGreyImage = 43,       // where colour is wanted
  kUnwantedLabel = 44,   // a label that is none of the plan's classes
  kNoMask = 45,          // no segmentation of it has one of the plan's structures
  // Of recordings.
  kNotARecording = 46,     // neither a WAV file nor a DICOM waveform
  kUnsupportedSound = 47,  // samples in a form that is not read
  kTooShort = 48,
  kLowSampleRate = 49,  // less than half of the plan's: what it asks for was not recorded
  kSilence = 50,        // all samples are the same
  kNoTime = 51,         // of survival: observed for no time
};

// A word for machines ("burned-in-annotation") and a phrase for people ("burned-in annotation").
std::string_view Name(Refusal reason);
std::string_view Phrase(Refusal reason);
// What a stored number stands for; nothing when no version up to this one has stored it.
std::optional<Refusal> RefusalNumbered(std::int64_t number);

// What a refusal looks like: the reason and, where there is more to say, the value that was wrong.
// `detail` never holds a patient's data, a UID of an instance or a path.
struct Refused {
  Refusal reason = Refusal::kNone;
  std::string detail;
};

// A value, or why there is none. Bad images are everyday input and not failures of the program, so
// they do not travel as Status.
template <class T>
class [[nodiscard]] OrRefused {
 public:
  OrRefused(T value) : content_(std::move(value)) {}            // NOLINT: implicit like StatusOr
  OrRefused(Refused refused) : content_(std::move(refused)) {}  // NOLINT

  bool ok() const { return std::holds_alternative<T>(content_); }
  const Refused& refused() const { return std::get<Refused>(content_); }
  T& operator*() { return std::get<T>(content_); }
  const T& operator*() const { return std::get<T>(content_); }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }

 private:
  std::variant<T, Refused> content_;
};

}  // namespace consilium::datasets
