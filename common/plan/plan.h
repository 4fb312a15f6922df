#pragma once

// A plan: what to train, written by a researcher as TOML, checked once, and read by every program
// as these plain structs. The TOML keys are the field names below, in tables named after the
// structs.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/task.h"

namespace consilium::plan {

// "small_cnn", "resnet18", "resnet34", "resnet50", "densenet121", "efficientnet_b0" (classifiers of
// images); "unet" (segmentation), "unet3d" (segmentation of volumes); "fcos" (detection);
// "spectrogram_cnn" (recordings, which the classifiers of images take, too); "logistic", "mlp"
// (tables).
enum class Architecture {
  kSmallCnn,
  kResNet18,
  kResNet34,
  kResNet50,
  kDenseNet121,
  kEfficientNetB0,
  kUnet,
  kUnet3d,
  kFcos,
  kSpectrogramCnn,
  kLogistic,
  kMlp,
  kTorchScript,  // "torchscript": a module of the consortium's own (site_agent/learning/modules.h)
};
enum class Norm { kGroup, kBatch };  // "group", "batch"

struct Model {  // [model]
  Architecture architecture = Architecture::kSmallCnn;
  Norm norm = Norm::kGroup;
  std::uint32_t width = 0;            // unet, unet3d: channels of the first level, default 16;
                                      // fcos: of the pyramid, default 64; 0: the default
  std::vector<std::uint32_t> hidden;  // mlp: units of each hidden layer; empty: {32}
  std::string module;                 // torchscript: SHA-256 of its file, 64 hexadecimal digits
  double dropout = 0;                 // mlp: in training, of each hidden layer; [0, 1)
  std::optional<ModelId>
      initial;  // start from this model of the coordinator's registry instead of from the seed
  // Beginnings of the names of tensors that stay as the initial model has them; they are not
  // trained and not sent. Needs `initial`. "layer1." freezes all that begins so.
  std::vector<std::string> frozen;
  // Low-rank adapters (LoRA, Hu et al. 2021): above 0, every convolution and linear layer but the
  // last is frozen and W x becomes W x + B A x with A and B of this rank, which alone are trained
  // and sent, with the last layer and the norms. Needs `initial`. At most 64.
  std::uint32_t adapter_rank = 0;
};

struct Target {  // [target]
  Task task = Task::kBinary;
  // A column of labels.csv or, with [data] source = "table", of the table. binary: its values are 0
  // and 1. multiclass: the words of `classes`. multilabel, survival: not given, as `classes` and
  // `time` name the columns. segmentation: what the masks are called in messages and reports;
  // detection: what the findings are.
  std::string name;
  // multiclass: the values, in the order of the logits, 2 or more. multilabel: columns of 0 and 1
  // (empty: not known), 2 or more. segmentation: the labels of the segments of SEG objects, in the
  // order of the logits after the background, 1 or more; each is found in any case. detection: as
  // of segmentation, the kinds of finding; each connected part of a segment is one, its bounding
  // box is what is learned.
  std::vector<std::string> classes;
  // detection: all parts of a segment on an image are one finding, with one box.
  bool whole = false;
  // multiclass: the classes are grades, from the least to the most: neighbours are nearer than
  // others (Frank and Hall 2001; one logit a threshold, Cao et al. 2020).
  bool ordered = false;
  // survival: ends in days of the intervals in each of which the network gives a hazard of its own
  // (discrete time, Gensheimer and Narasimhan 2019), ascending; empty: Cox's relative hazard.
  std::vector<double> intervals;
  std::string time, event;  // survival: columns: days, and 1 where the event happened then, else 0

  TaskShape Shape() const {
    return {task, classes.empty() ? 1 : static_cast<std::uint32_t>(classes.size())};
  }
  // The columns of labels.csv or of the table that teach: binary, multiclass `name`; multilabel
  // `classes`; survival `time` and `event`; segmentation and detection none.
  std::vector<std::string> Columns() const;
  // For people and as a report's title: the name, "effusion, nodule", "death after days".
  std::string Title() const;
};
// Most classes or labels, and most structures of a segmentation.
inline constexpr std::uint32_t kMostClasses = 100, kMostStructures = 64;

enum class Source { kDicom, kTable, kAudio };  // "dicom", "table", "audio"

struct Data {  // [data]
  // dicom: images. With a table [table] beside them each example is an image and its patient's row
  // (the table has one row a patient; without one all its columns are missing). audio: recordings,
  // WAV files or DICOM waveforms, as [audio] says.
  Source source = Source::kDicom;
  std::vector<std::string>
      modalities;  // DICOM (0008,0060) values taken, any of: "DX", "CR", "MR" ...
  // What else an image must be to be trained on, evaluated or predicted from; empty and absent:
  // any.
  std::vector<std::string> views;  // View Position (0018,5101): "PA", "CC" ...
  std::optional<std::uint32_t> minimum_age,
      maximum_age;                     // of the patient, in whole years, inclusive
  std::uint32_t minimum_patients = 1;  // a site with fewer declines
  double validation_fraction = 0.15;   // of the patients, by a stable hash of the patient
  double test_fraction = 0.25;
};

// What stays of a header when an image becomes an example, beside what training itself needs: the
// retain options of DICOM PS3.15 E.3. A site's policy must allow each. "patient_characteristics",
// "device_identity", "institution_identity".
enum class Retain { kPatientCharacteristics, kDeviceIdentity, kInstitutionIdentity };

struct Deidentification {      // [deidentification]
  std::vector<Retain> retain;  // plans that ask for ages must retain patient characteristics
};

// What is read of a table NAME.csv in the site's data folder, one row an example: a column
// "patient_id", the columns of the target, those below, and if there is one the column "split",
// whose "train", "validation" or "test" overrides the split by the patient's hash.
enum class ColumnKind { kNumber, kCategory };  // "number", "category"
struct Column {                                // [[table.columns]]
  std::string name;
  ColumnKind kind = ColumnKind::kNumber;
  // number: the plausible range, in the column's unit, the same at all sites. What lies beyond is
  // a missing value; a site where that is more than half of what it has refuses the plan, as its
  // unit must be another.
  double minimum = 0, maximum = 1;
  // category: its values, 2 or more, one input each, found in any case and, where both are numbers,
  // by number ("1" is "1.0"). Any other value is a missing one; a site where that is more than half
  // of what it has refuses the plan, as it must write them in another way.
  std::vector<std::string> values;
  bool operator==(const Column&) const = default;
};
struct Table {  // [table], needed with [data] source = "table", allowed with "dicom"
  std::string name;
  std::vector<Column> columns;  // inputs: the numbers in their order, then the categories' values
  // One input more for each number that is 1 where the value is missing. A missing number is the
  // federation's mean (0 after scaling), a missing category is none of its values.
  bool missing_indicators = false;

  std::uint32_t Numbers() const;
  std::uint32_t Inputs() const;  // after one-hot coding and with indicators
  bool operator==(const Table&) const = default;
};
inline constexpr std::uint32_t kMostInputs = 4096;  // of a table
// Whether a cell of a table stands for a value that is not there: nothing, "NA", "N/A", "#N/A",
// "NaN", "NULL", "?" or ".", in any case.
bool IsMissing(std::string_view cell);
// A value of a category or class as two of them are compared: in small letters, a number as the
// number that it is.
std::string Comparable(std::string_view value);

// What a recording becomes: an image of one channel, `bands` high (lowest frequency at the bottom)
// and Frames() wide, of the logarithm of the energy in each band. The same at every site.
struct Audio {                   // [audio], of [data] source = "audio"
  double sample_rate_hz = 2000;  // what recordings are brought to; one below half of it is refused
  double seconds = 10;           // of each example; what is shorter is repeated
  double window_ms = 64, hop_ms = 32;
  std::uint32_t bands = 32;            // of equal width on the mel scale (Stevens et al. 1937)
  double low_hz = 20, high_hz = 1000;  // at most half of the sample rate
  // Subtract each recording's mean of each band and divide by the deviation of all: takes away what
  // the microphone and the room colour, which tell the institution.
  bool standardize = true;

  std::uint32_t Frames() const;  // 1 + floor((seconds - window) / hop)
  // bands + 2 frequencies, in Hz: band i rises from the i-th to the next and falls to the one
  // after.
  std::vector<double> Edges() const;
  bool operator==(const Audio&) const = default;
};

// A kind of image, which chooses the defaults of all keys of Preprocessing; docs/preprocessing.md
// gives the reasons. "generic", "radiograph", "mammography", "ct", "mr", "ultrasound", "retina",
// "pet".
enum class Preset {
  kGeneric,
  kRadiograph,
  kMammography,
  kCt,
  kMr,
  kUltrasound,
  kRetina,
  kPet,
};
// "window", "percentile", "range", "fixed"
enum class Intensity { kWindow, kPercentile, kRange, kFixed };
enum class Crop {
  kNone,
  kForeground,
  kScanRegion,
  kDisc
};                                                // "none", "foreground", "scan_region", "disc"
enum class Channel { kLuminance, kGreen, kRgb };  // "luminance", "green", "rgb": three channels
enum class FrameChoice { kOnly, kMiddle };        // "only", "middle"
enum class Units { kModality, kSuv };             // "modality", "suv"

// What turns a DICOM image into the network's input. The same at every site.
struct Preprocessing {  // [preprocessing]
  Preset preset = Preset::kGeneric;
  std::uint32_t image_size = 64;  // pixels, square, 16 to 1024
  // kOnly: an image of several frames is refused; kMiddle: its middle frame (of a cine loop).
  FrameChoice frame = FrameChoice::kOnly;
  Channel channel = Channel::kLuminance;  // of colour images
  // kSuv: standardised uptake values by body weight, else refused (datasets/volumes/suv.h).
  Units units = Units::kModality;
  // kForeground: the bounding box of the largest bright object (the breast); kScanRegion: the first
  // region of tissue that an ultrasound image declares (PS3.3 C.8.5.5), the whole image where it
  // declares none; kDisc: the square about the bright disc of a retinal image.
  Crop crop = Crop::kNone;
  // Mirrors what faces right (the breast of which most tissue lies in the right half), so that
  // every image faces the same way.
  bool face_left = false;
  // kWindow: the image's own VOI window (DICOM PS3.3 C.11.2), else percentiles 0.5 and 99.5;
  // kPercentile: percentiles 0.5 and 99.5 always; kRange: smallest to largest value; kFixed: from
  // `low` to `high`, in the image's units (Hounsfield units of CT). All of what the crop left.
  Intensity intensity = Intensity::kPercentile;
  double low = 0, high = 0;  // of kFixed only; the key `window` names both (HounsfieldWindows)
  // Padding (PS3.3 C.7.5.1.1.2) becomes black whatever its value; else it is mapped as all values
  // are. Either way it counts in no percentile, range or object.
  bool blank_padding = false;
  // Volumes: above 0, an example is a whole series (or one multi-frame object) and its input this
  // many slices of image_size squares, cut or padded about its middle; 0: flat images. 8 to 256,
  // a multiple of 8, as is image_size then.
  std::uint32_t slices = 0;
  double slice_spacing_mm = 0;  // of volumes: between slices; 0: spacing_mm, or the series' own
  double spacing_mm = 0;    // resample to this pixel spacing before the square is cut or padded; 0:
                            // fit the longer side to image_size (volumes: as it is)
  bool standardize = true;  // subtract each image's mean, divide by its deviation

  bool operator==(const Preprocessing&) const = default;
};
// What a preset stands for; image_size as given.
Preprocessing DefaultsOf(Preset preset, std::uint32_t image_size);
// All that decides the input's pixels, in one line for hashes and caches: every key but preset and
// standardize.
std::string PixelSettings(const Preprocessing& preprocessing);

// Windows of CT by name, for the key `window`: "soft_tissue", "lung", "bone", "brain", "liver".
struct HounsfieldWindow {
  std::string_view name;
  double low, high;
};
std::span<const HounsfieldWindow> HounsfieldWindows();

enum class Precision { kFloat32, kMixed };   // "float32", "mixed"
enum class Schedule { kConstant, kCosine };  // "constant", "cosine"
enum class Optimizer { kSgd, kAdamW };       // "sgd", "adamw"
// "none", "radiograph", "mirrored"; "recording"
enum class Augmentation { kNone, kRadiograph, kMirrored, kRecording };

struct Training {  // [training]
  std::uint32_t local_epochs = 1;
  std::uint32_t batch_size = 32;
  // A step sees batch_size examples, in this many parts one after another, whose gradients are
  // added: for volumes that do not fit in memory at once. Batch norm sees each part for itself.
  std::uint32_t accumulation = 1;
  // unet3d: keep only each level's input for the backward pass and compute the rest again: a sixth
  // less memory at its peak (the finest level's own backward pass), a third more time.
  bool checkpointing = false;
  // volumes: train on random blocks of this many voxels a side, evaluate by a window of that size
  // that slides by half of it (Gaussian weights, as nnU-Net, Isensee et al. 2021); 0: whole.
  std::uint32_t block = 0;
  // kMixed: products in half the bits where the device has fast ones (CUDA), else float32.
  Precision precision = Precision::kFloat32;
  Optimizer optimizer = Optimizer::kAdamW;
  double learning_rate = 1e-3;
  // kCosine: the rate falls from learning_rate in the first round towards 0 after the last
  // (stop.rounds), along half a cosine (Loshchilov and Hutter 2017).
  Schedule schedule = Schedule::kConstant;
  double momentum = 0.9;  // sgd only
  double weight_decay = 1e-4;
  // A site's optimizer goes on in a round where its last one ended, with the moments it had
  // (site_agent/optimizer_memory.h); else each round begins without. It never leaves the site.
  bool keep_optimizer = false;
  // Loss weights inverse to the class counts of the site's training examples (binary and
  // multiclass). Without it a site that has only one class may train, too.
  bool class_weighting = true;
  // kRadiograph: small rotations, shifts, zooms, brightness and contrast, noise; no flips, which
  // would put the heart on the wrong side. kMirrored: the same and left-right flips, for what looks
  // alike from both sides. kRecording, of recordings and their default: any part of a longer one,
  // shifts in time, another microphone's colour, gain and noise, bands and times blotted out.
  Augmentation augmentation = Augmentation::kRadiograph;
};

enum class AggregationMethod { kFedAvg, kFedProx };      // "fedavg", "fedprox"
enum class WeightRule { kExamples, kPatients, kEqual };  // "examples", "patients", "equal"
// "masked": secure aggregation, nobody sees one site's update or sums; needs cohorts of 3 or more.
// "sealed": encrypted to the coordinator, which sees each. Every site must consent to it by its
// policy.
enum class Updates { kMasked, kSealed };

struct Aggregation {                                      // [aggregation]
  AggregationMethod method = AggregationMethod::kFedAvg;  // McMahan et al. 2017; Li et al. 2020
  double proximal_mu = 0.0;  // fedprox: mu/2 |w - w_base|^2 added to each site's loss
  WeightRule weight = WeightRule::kExamples;
  double server_learning_rate = 1.0;  // new = base + rate * mean update
  Updates updates = Updates::kMasked;
};

// A model of each hospital's own beside the global one, made from it with the site's training data.
// It never leaves the site; what the site sends is as without. Each site evaluates both on its test
// split and shows its operator which is better for its patients (site_agent/personal_model.h).
// "none"; "local_norm": norms of its own (FedBN, Li et al. 2021); "local_head": a last layer of its
// own (Collins et al. 2021); "ditto": a whole model of its own, pulled to the global one (Li et al.
// 2021b); "fine_tuning": the last global model trained on, once, after the run.
enum class PersonalMethod { kNone, kLocalNorm, kLocalHead, kDitto, kFineTuning };
struct Personalisation {  // [personalisation]
  PersonalMethod method = PersonalMethod::kNone;
  std::uint32_t epochs = 1;  // of each round (fine_tuning: of all)
  double pull = 0.1;         // ditto: lambda of lambda/2 |v - w|^2
  bool operator==(const Personalisation&) const = default;
};

struct SecureAggregation {  // [secure_aggregation], for masked updates
  // A site's update is scaled down to this L2 norm when it is longer (model/quantizer.h): the
  // smaller, the finer the steps it is sent in. The default only stops what has diverged.
  double clip_norm = 1000;
  // Sites of a cohort that must stay to the end; 0: floor(2n/3) + 1 of n. A plan may ask for more,
  // never for less.
  std::uint32_t threshold = 0;
};

struct Cohort {                     // [cohort]
  std::uint32_t minimum_sites = 3;  // a round never counts on fewer; 2 only with sealed updates
  std::vector<SiteId> sites;        // only these are invited; empty: every enrolled site
  double round_deadline_s =
      3600;  // one deadline a round: who has not delivered by then is not counted
  double absence_grace_s = 60;  // a site that lost its connection is waited for this long
  // One that is connected, but of which nothing is heard while the coordinator waits for it (no
  // progress, no answer, its upload stands still), is waited for this long.
  double silence_s = 120;
};

struct Evaluation {             // [evaluation]
  double at_specificity = 0.9;  // report the sensitivity at this specificity
};

struct Gate {  // [gate]: what a candidate must show on the sites' test sets to be published
  // Of the task's headline, pooled (base/task.h). The TOML key says which: minimum_auroc,
  // minimum_dice, minimum_concordance, minimum_average_precision.
  double minimum = 0.5;
  std::optional<double>
      maximum_site_drop;  // no site's headline may fall this far below the last published model
  std::uint32_t minimum_sites = 3;  // that evaluated it; default: cohort.minimum_sites
};

struct Stop {  // [stop]: whichever comes first
  std::uint32_t rounds = 10;
  std::optional<std::uint32_t> patience;  // rounds without a better pooled validation headline
  // Of the headline, pooled, validation. TOML: target_auroc, target_dice, target_concordance.
  std::optional<double> target;
  std::optional<double> wall_time_s;
};

// [describe]: the plan trains nothing. Its one round asks the sites what their images are
// (metrics/description.h), adds that up by secure aggregation and shows it with small counts
// suppressed. It has the tables [plan], [describe], [cohort], and if it likes [target] (whose
// labels are counted, too) and [secure_aggregation]; no other.
struct DescribeRun {
  std::uint32_t smallest_count = 10;  // no row of fewer patients is shown; 5 or more
};

struct Plan {
  std::string name;         // [plan] name: grammar of ids.h
  std::string description;  // [plan] description
  std::uint64_t seed = 1;   // [plan] seed
  Model model;
  Target target;
  Data data;
  Table table;
  Audio audio;
  Deidentification deidentification;
  Preprocessing preprocessing;
  Training training;
  Aggregation aggregation;
  Personalisation personalisation;
  SecureAggregation secure_aggregation;
  Cohort cohort;
  Evaluation evaluation;
  Gate gate;
  Stop stop;
  std::optional<DescribeRun> describe;  // then target.name may be empty, and what else is said of
                                        // data and training means nothing
};

// Reads and checks a plan. Unknown tables and keys, wrong types, values out of range and impossible
// combinations are refused: kInvalidArgument with the line, the value and what is allowed; all
// faults at once, one a line.
absl::StatusOr<Plan> ParsePlan(std::string_view toml);

// The learning rate after this share of the rounds, or of a local training's epochs, [0, 1).
double LearningRateAt(const Training& training, double done);

// The plan as people read it: what will be trained, on what (of a table, which columns are read),
// with whom and until when. Several lines.
std::string Describe(const Plan& plan);

// TOML words of the enums, for messages and reports.
std::string_view Name(Architecture v);
std::string_view Name(Source v);
std::string_view Name(ColumnKind v);
std::string_view Name(Norm v);
std::string_view Name(Intensity v);
std::string_view Name(Retain v);
std::string_view Name(Preset v);
std::string_view Name(Crop v);
std::string_view Name(Channel v);
std::string_view Name(FrameChoice v);
std::string_view Name(Units v);
std::string_view Name(Precision v);
std::string_view Name(Schedule v);
std::string_view Name(PersonalMethod v);
std::string_view Name(Optimizer v);
std::string_view Name(Augmentation v);
std::string_view Name(AggregationMethod v);
std::string_view Name(WeightRule v);
std::string_view Name(Updates v);

}  // namespace consilium::plan
