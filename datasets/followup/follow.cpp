#include "datasets/followup/follow.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "datasets/registration/mutual_information.h"
#include "datasets/targets/sandboxed_targets.h"
#include "datasets/volumes/sandboxed_instances.h"

namespace consilium::datasets::followup {
namespace {

constexpr double kSamePlaneDegrees = 30;
constexpr float kAir = -1024;  // beside a tilted CT's slices

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower;
}

// One lesion segment of a segmentation that references a series.
struct Outline {
  const SegmentationFile* file = nullptr;
  targets::Segment segment;
};

// What people drew first, then the newer.
int Rank(const Outline& outline) {
  if (outline.segment.algorithm == "MANUAL") return 0;
  return outline.segment.algorithm == "SEMIAUTOMATIC" ? 1 : 2;
}

struct Candidate {
  const ImageSeries* series = nullptr;
  std::vector<Outline> outlines;
};

// The slices of several files as one series.
OrRefused<volumes::Series> Gather(volumes::SandboxedInstances& reader, const ImageSeries& files) {
  volumes::Series series;
  auto instances = reader.ReadInstances(files.files);
  for (auto& instance : instances) {
    if (!instance.ok()) return instance.refused();
    if (instance->refused) return *instance->refused;
    std::move(instance->slices.begin(), instance->slices.end(), std::back_inserter(series.slices));
  }
  series.modality = files.source.modality;
  return series;
}

std::string Describe(const ImageSeries& series) {
  const std::size_t images = std::max<std::size_t>(series.files.size(), series.source.frames);
  return absl::StrFormat("%s series of %d images", series.source.modality, images);
}

// A time point with its volume, averaged to what registration looks at.
struct Loaded {
  TimePoint point;
  volumes::Volume volume;
};

class Following {
 public:
  Following(worker::WorkerPool& pool, const Patient& patient, const FollowOptions& options,
            Progress& progress)
      : pool_(pool), reader_(pool), patient_(patient), options_(options), progress_(progress) {}

  absl::StatusOr<FollowUp> Run() {
    follow_up_.smallest_ml = options_.smallest_ml;
    if (patient_.undated > 0) {
      Pass(0, StrCat(patient_.undated, " studies"), "they do not say when they were made");
    }
    for (std::size_t study = 0; study < patient_.studies.size(); ++study) {
      progress_.Report("following", study, patient_.studies.size(), "studies");
      if (progress_.Cancelled()) return absl::CancelledError("interrupted");
      AddStudy(study);
    }
    progress_.Report("following", patient_.studies.size(), patient_.studies.size(), "studies");
    if (follow_up_.time_points.size() < 2) return TooFew();
    std::vector<TrackedTimePoint> tracked;
    for (const TimePoint& point : follow_up_.time_points) {
      TrackedTimePoint view;
      if (point.why_not.empty()) view.lesions = &point.lesions;
      if (point.registration) view.from_first = point.registration->transform;
      tracked.push_back(view);
    }
    follow_up_.tracks = TrackLesions(tracked, options_.tracking);
    follow_up_.course = Assess(tracked, follow_up_.tracks);
    return std::move(follow_up_);
  }

 private:
  void Pass(int day, std::string what, std::string why) {
    follow_up_.passed_over.push_back({day, std::move(what), std::move(why)});
  }
  void Pass(int day, std::string what, const Refused& refused) {
    std::string why(Phrase(refused.reason));
    if (!refused.detail.empty()) StrAppend(&why, ": ", refused.detail);
    Pass(day, std::move(what), std::move(why));
  }

  absl::Status TooFew() const {
    std::string why = absl::StrFormat(
        "of %d studies %d can be used; following needs two, each with a CT or MR series whose "
        "lesions a segmentation outlines",
        patient_.studies.size(), follow_up_.time_points.size());
    for (const PassedOver& passed : follow_up_.passed_over) {
      StrAppend(&why, "; day ", passed.day, ": ", passed.what, ": ", passed.why);
    }
    return absl::FailedPreconditionError(why);
  }

  int DayOf(const Study& study) const {
    const Study& first = first_study_ ? patient_.studies[*first_study_] : patient_.studies.front();
    return DaysBetween(first.date, study.date).value_or(0);
  }

  void AddStudy(std::size_t number) {
    const Study& study = patient_.studies[number];
    const int day = DayOf(study);
    const std::size_t said = follow_up_.passed_over.size();
    std::vector<Candidate> candidates = CandidatesOf(study, day);
    Sort(&candidates);
    for (auto candidate = candidates.begin(); candidate != candidates.end(); ++candidate) {
      auto loaded = Load(*candidate, day);
      if (!loaded) continue;
      loaded->point.day = day;
      loaded->point.study = number;
      for (auto rest = candidate + 1; rest != candidates.end(); ++rest) {
        Pass(day, Describe(*rest->series), "another series of the study fits better");
      }
      Add(*std::move(loaded), number);
      return;
    }
    if (candidates.empty() && follow_up_.passed_over.size() == said) {
      Pass(day, "study", "no segmentation outlines lesions in it");
    }
  }

  // Series that lesions are outlined in, and of the first time point's modality.
  std::vector<Candidate> CandidatesOf(const Study& study, int day) {
    std::map<std::string, std::vector<Outline>> outlines;
    for (const SegmentationFile& file : study.segmentations) {
      auto summary = targets::ReadSegmentation(pool_, file.file);
      if (!summary.ok()) {
        Pass(day, "segmentation", summary.refused());
        continue;
      }
      bool any = false;
      for (const targets::Segment& segment : summary->segments) {
        if (!IsLesion(segment, options_.segment)) continue;
        any = true;
        for (const std::string& uid : summary->referenced_series) {
          outlines[uid].push_back({&file, segment});
        }
      }
      if (!any) Pass(day, "segmentation", "no segment of it is a lesion, by code or label");
    }
    std::vector<Candidate> candidates;
    for (const auto& [uid, series] : study.series) {
      const auto found = outlines.find(uid);
      if (found == outlines.end()) continue;
      if (!follow_up_.time_points.empty() &&
          series.source.modality != follow_up_.time_points.front().source.modality) {
        Pass(day, Describe(series), "of another modality than the first one");
        continue;
      }
      candidates.push_back({&series, std::move(found->second)});
    }
    return candidates;
  }

  void Sort(std::vector<Candidate>* candidates) const {
    const auto images = [](const Candidate& c) {
      return std::max<std::size_t>(c.series->files.size(), c.series->source.frames);
    };
    std::stable_sort(candidates->begin(), candidates->end(),
                     [&](const Candidate& a, const Candidate& b) { return images(a) > images(b); });
    for (Candidate& candidate : *candidates) {
      std::stable_sort(candidate.outlines.begin(), candidate.outlines.end(),
                       [](const Outline& a, const Outline& b) {
                         return std::pair(Rank(a), b.file->made) < std::pair(Rank(b), a.file->made);
                       });
    }
  }

  std::optional<Loaded> Load(const Candidate& candidate, int day) {
    const auto series = Gather(reader_, *candidate.series);
    if (!series.ok()) {
      Pass(day, Describe(*candidate.series), series.refused());
      return std::nullopt;
    }
    auto stacks = volumes::FindStacks(*series, stack_options_);
    if (!stacks.ok()) {
      Pass(day, Describe(*candidate.series), stacks.refused());
      return std::nullopt;
    }
    std::stable_sort(stacks->begin(), stacks->end(),
                     [](const volumes::Stack& a, const volumes::Stack& b) {
                       return a.slices.size() > b.slices.size();
                     });
    std::optional<Refused> refused;
    for (const volumes::Stack& stack : *stacks) {
      if (!LiesAsTheFirst(stack)) {
        refused = Refused{Refusal::kMixedOrientations, "its slices lie otherwise than the first's"};
        continue;
      }
      auto loaded = LoadStack(candidate, stack);
      if (loaded.ok()) return std::move(*loaded);
      refused = loaded.refused();
    }
    if (refused) Pass(day, Describe(*candidate.series), *refused);
    return std::nullopt;
  }

  bool LiesAsTheFirst(const volumes::Stack& stack) const {
    if (!fixed_) return true;
    const double angle = AngleDegrees(stack.grid.Normal(), fixed_->grid.Normal());
    return std::min(angle, 180 - angle) <= kSamePlaneDegrees;
  }

  OrRefused<Loaded> LoadStack(const Candidate& candidate, const volumes::Stack& stack) {
    Loaded loaded;
    TimePoint& point = loaded.point;
    point.source = candidate.series->source;
    for (const volumes::Slice& slice : stack.slices) {
      const bool one_frame = candidate.series->files.size() > 1;
      point.slices.push_back(
          {point.source.sop_class_uid, slice.instance, one_frame ? 0 : slice.frame});
    }
    std::copy_n(stack.grid.spacing_mm.begin(), 3, point.spacing_mm);
    const double from_axis = AngleDegrees(stack.grid.Normal(), {0, 0, 1});
    point.axial = std::min(from_axis, 180 - from_axis) <= kSamePlaneDegrees;
    if (auto refused = ReadLesions(candidate, stack, &point)) return *refused;
    auto volume =
        volumes::LoadVolume(stack, stack_options_, point.source.modality == "CT" ? kAir : 0);
    if (!volume.ok()) return volume.refused();
    loaded.volume = registration::Averaged(*volume, registration::kFinestSpacing_mm);
    return loaded;
  }

  // Nothing when at least one outline was read.
  std::optional<Refused> ReadLesions(const Candidate& candidate, const volumes::Stack& stack,
                                     TimePoint* point) {
    std::optional<Refused> refused;
    point->lesions.grid = stack.grid;
    for (const Outline& outline : candidate.outlines) {
      const auto mask = targets::ReadSegment(pool_, outline.file->file, outline.segment.number,
                                             stack.grid, stack.frame_of_reference);
      if (!mask.ok()) {
        refused = mask.refused();
        continue;
      }
      point->left_out += AddDisjoint(
          FindLesions(*mask, options_.smallest_ml, static_cast<int>(point->sources.size())),
          &point->lesions);
      point->sources.push_back({results::ReferenceTo(outline.file->source),
                                outline.file->source.series_instance_uid, outline.segment.number,
                                outline.segment.algorithm});
      point->sources.back().segmentation.frame = 0;
    }
    return point->sources.empty() ? refused : std::nullopt;
  }

  void Add(Loaded loaded, std::size_t study) {
    if (!fixed_) {
      fixed_ = std::move(loaded.volume);
      first_study_ = study;
      loaded.point.day = 0;
      for (PassedOver& passed : follow_up_.passed_over) {
        passed.day =
            passed.day -
            DaysBetween(patient_.studies.front().date, patient_.studies[study].date).value_or(0);
      }
    } else {
      const auto start = std::chrono::steady_clock::now();
      const auto found = registration::Register(*fixed_, loaded.volume);
      follow_up_.seconds_registering +=
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (found.ok()) {
        loaded.point.registration = *found;
      } else {
        loaded.point.why_not = std::string(ToStd(found.status().message()));
      }
    }
    follow_up_.time_points.push_back(std::move(loaded.point));
  }

  worker::WorkerPool& pool_;
  volumes::SandboxedInstances reader_;
  const Patient& patient_;
  const FollowOptions& options_;
  Progress& progress_;
  const volumes::StackOptions stack_options_;
  std::optional<volumes::Volume> fixed_;
  std::optional<std::size_t> first_study_;
  FollowUp follow_up_;
};

}  // namespace

bool IsLesion(const targets::Segment& segment, const std::string& label) {
  const std::string own = Lower(segment.label);
  if (!label.empty()) return own == Lower(label);
  if (segment.type.value == "class-activation") return false;
  static constexpr std::string_view kTypes[] = {"52988006",  "108369006", "86049000",
                                                "14799000",  "4147007",   "27925004",
                                                "128462008", "126537000", "363346000"};
  const auto is_one = [&](std::string_view code) { return segment.type.Is(code, "SCT"); };
  if (std::any_of(std::begin(kTypes), std::end(kTypes), is_one)) return true;
  if (segment.category.Is("49755003", "SCT")) return true;
  static constexpr std::string_view kWords[] = {
      "lesion", "tumor", "tumour", "nodule", "metasta", "mass", "cancer", "carcinoma", "neoplasm"};
  const std::string meaning = Lower(segment.type.meaning);
  return std::any_of(std::begin(kWords), std::end(kWords), [&](std::string_view word) {
    return own.find(word) != std::string::npos || meaning.find(word) != std::string::npos;
  });
}

absl::StatusOr<FollowUp> Follow(worker::WorkerPool& pool, const Patient& patient,
                                const FollowOptions& options, Progress& progress) {
  return Following(pool, patient, options, progress).Run();
}

}  // namespace consilium::datasets::followup
