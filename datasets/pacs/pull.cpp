#include "datasets/pacs/pull.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <thread>

#include "common/base/status.h"
#include "datasets/pacs/pdu.h"

namespace consilium::datasets::pacs {
namespace {

bool Contains(const std::vector<std::string>& list, const std::string& value) {
  return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
}

bool IsDate(std::string_view text) {
  if (text.size() != 8 ||
      !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return false;
  }
  const auto number = [&](std::size_t at, std::size_t size) {
    return std::stoi(std::string(text.substr(at, size)));
  };
  return std::chrono::year_month_day(std::chrono::year(number(0, 4)),
                                     std::chrono::month(static_cast<unsigned>(number(4, 2))),
                                     std::chrono::day(static_cast<unsigned>(number(6, 2))))
      .ok();
}

bool Fits(const Study& study, const Query& query) {
  if (!IsUid(study.uid) || !Contains(query.study_uids, study.uid) ||
      !Contains(query.patient_ids, study.patient_id) ||
      !Contains(query.accession_numbers, study.accession_number)) {
    return false;
  }
  if ((!query.since.empty() && study.date < query.since) ||
      (!query.until.empty() && study.date > query.until)) {
    return false;
  }
  if (!study.modalities.empty() && std::none_of(study.modalities.begin(), study.modalities.end(),
                                                [&](const std::string& modality) {
                                                  return Contains(query.modalities, modality);
                                                })) {
    return false;
  }
  return query.study_description.empty() || Matches(study.description, query.study_description);
}

bool Fits(const Series& series, const Query& query) {
  return IsUid(series.uid) && Contains(query.series_uids, series.uid) &&
         Contains(query.modalities, series.modality) &&
         (query.series_description.empty() ||
          Matches(series.description, query.series_description));
}

// What one pull does; its steps in order.
class PullRun {
 public:
  PullRun(Archive& archive, InstanceStore* store, const Query& query, const PullOptions& options,
          Progress& progress)
      : archive_(archive),
        store_(store),
        query_(query),
        options_(options),
        progress_(progress),
        arrived_before_(store == nullptr ? 0 : store->arrived()),
        bytes_before_(store == nullptr ? 0 : store->arrived_bytes()) {}

  absl::StatusOr<PullReport> Run() {
    RETURN_IF_ERROR(Retrying([this] { return FindStudies(); }));
    std::uint64_t done = 0;
    for (const Study& study : studies_) {
      Report(done);
      const std::uint64_t before = Arrived();
      RETURN_IF_ERROR(Retrying([&] { return PullStudy(study); }));
      // A second try finds what the first one brought: that was not here before the pull.
      pulled_.present -= std::min(pulled_.present, Arrived() - before - fetched_);
      // Not all of a study's series need to fit.
      if (pulled_.instances > 0) Count(study);
      ++done;
    }
    Report(done);
    if (report_.studies.empty()) {
      return absl::NotFoundError(
          "no study of the archive matches the query. Dates, patient IDs and accession numbers "
          "must be written as the archive has them; what our AE title may see is the archive's "
          "choice");
    }
    if (store_ != nullptr) {
      report_.fetched = Arrived() - arrived_before_;
      report_.bytes = store_->arrived_bytes() - bytes_before_;
    }
    report_.patients = patients_.size();
    return std::move(report_);
  }

 private:
  template <class Step>
  absl::Status Retrying(const Step& step) {
    Duration wait = options_.backoff;
    for (int attempt = 1;; ++attempt) {
      if (progress_.Cancelled()) return absl::CancelledError("interrupted");
      const absl::Status status = step();
      if (status.ok() || attempt >= options_.attempts || !IsWorthRetrying(status)) return status;
      RETURN_IF_ERROR(WaitFor(wait, progress_));
      wait *= 2;
    }
  }

  void Report(std::uint64_t done) {
    const std::uint64_t images = options_.dry_run ? report_.instances : Arrived() - arrived_before_;
    progress_.Report(options_.dry_run ? "asking for studies" : "fetching studies", done,
                     studies_.size(),
                     StrCat(images, options_.dry_run ? " images" : " images fetched"));
  }

  // One question for each patient and accession number: lists of them are not in the standard.
  absl::Status FindStudies() {
    studies_.clear();
    std::set<std::string> seen;
    static const std::vector<std::string> kAny = {""};
    const auto& patients = query_.patient_ids.empty() ? kAny : query_.patient_ids;
    const auto& accessions = query_.accession_numbers.empty() ? kAny : query_.accession_numbers;
    std::uint64_t asked = 0;
    for (const std::string& patient : patients) {
      for (const std::string& accession : accessions) {
        if (progress_.Cancelled()) return absl::CancelledError("interrupted");
        StudyKeys keys;
        keys.patient_id = patient;
        keys.accession_number = accession;
        keys.study_uids = query_.study_uids;
        keys.since = query_.since;
        keys.until = query_.until;
        if (query_.modalities.size() == 1) keys.modality = query_.modalities.front();
        RETURN_IF_ERROR(archive_.FindStudies(keys, [&](Study study) {
          if (!Enough() && Fits(study, query_) && seen.insert(study.uid).second) {
            studies_.push_back(std::move(study));
          }
          return !Enough();
        }));
        progress_.Report("searching", ++asked, patients.size() * accessions.size());
        if (Enough()) return absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  std::uint64_t Arrived() const { return store_ == nullptr ? 0 : store_->arrived(); }
  bool Enough() const { return query_.limit != 0 && studies_.size() >= query_.limit; }

  absl::Status PullStudy(const Study& study) {
    pulled_ = {};
    missing_ = fetched_ = 0;
    std::set<std::string> modalities;
    ASSIGN_OR_RETURN(const std::vector<Series> all, archive_.FindSeries(study.uid));
    for (const Series& series : all) {
      if (!Fits(series, query_)) continue;
      if (progress_.Cancelled()) return absl::CancelledError("interrupted");
      ASSIGN_OR_RETURN(const std::vector<Instance> instances, archive_.FindInstances(series));
      pulled_.series += 1;
      pulled_.instances += instances.size();
      modalities.insert(series.modality);
      const std::vector<Instance> wanted = NotHere(instances);
      pulled_.present += instances.size() - wanted.size();
      if (options_.dry_run || wanted.empty()) continue;
      // The refusal of one instance is not the end of the others.
      const absl::Status fetched =
          archive_.Fetch(series, wanted, wanted.size() == instances.size(), *store_);
      const std::size_t left = NotHere(wanted).size();
      fetched_ += wanted.size() - left;
      if (!fetched.ok()) {
        const bool of_an_instance = fetched.code() == absl::StatusCode::kInvalidArgument ||
                                    fetched.code() == absl::StatusCode::kOutOfRange;
        if (!of_an_instance) return fetched;
        if (report_.missing_reason.empty()) report_.missing_reason = ToStd(fetched.message());
      }
      missing_ += left;
    }
    for (const std::string& modality : modalities) {
      StrAppend(&pulled_.modalities, pulled_.modalities.empty() ? "" : ", ", modality);
    }
    pulled_.date = study.date;
    return absl::OkStatus();
  }

  std::vector<Instance> NotHere(const std::vector<Instance>& instances) const {
    std::vector<Instance> wanted;
    for (const Instance& instance : instances) {
      if (store_ == nullptr || !store_->Has(instance.sop_instance_uid)) wanted.push_back(instance);
    }
    return wanted;
  }

  void Count(const Study& study) {
    patients_.insert(study.patient_id);
    report_.series += pulled_.series;
    report_.instances += pulled_.instances;
    report_.present += pulled_.present;
    report_.missing += missing_;
    report_.studies.push_back(std::move(pulled_));
  }

  Archive& archive_;
  InstanceStore* const store_;
  const Query& query_;
  const PullOptions& options_;
  Progress& progress_;
  const std::uint64_t arrived_before_, bytes_before_;
  std::vector<Study> studies_;
  std::set<std::string> patients_;
  PulledStudy pulled_;                       // the study that is being pulled
  std::uint64_t missing_ = 0, fetched_ = 0;  // of it, on this try
  PullReport report_;
};

}  // namespace

bool Query::empty() const {
  return patient_ids.empty() && accession_numbers.empty() && study_uids.empty() &&
         series_uids.empty() && modalities.empty() && since.empty() && until.empty() &&
         study_description.empty() && series_description.empty();
}

absl::Status CheckQuery(const Query& query) {
  for (const std::string& date : {query.since, query.until}) {
    if (!date.empty() && !IsDate(date)) {
      return absl::InvalidArgumentError(StrCat("\"", date, "\" is no date YYYY-MM-DD"));
    }
  }
  if (!query.since.empty() && !query.until.empty() && query.since > query.until) {
    return absl::InvalidArgumentError("the first day is after the last (--since, --until)");
  }
  for (const auto* uids : {&query.study_uids, &query.series_uids}) {
    for (const std::string& uid : *uids) {
      if (!IsUid(uid)) return absl::InvalidArgumentError("a UID given is none: digits and dots");
    }
  }
  // An archive would take them as wild cards, or as several values.
  for (const auto* ids : {&query.patient_ids, &query.accession_numbers}) {
    for (const std::string& id : *ids) {
      if (id.empty() || id.size() > 64 || id.find_first_of("*?\\") != std::string::npos) {
        return absl::InvalidArgumentError(
            "a patient ID or accession number is empty, over 64 characters, or has one of * ? \\");
      }
    }
  }
  return absl::OkStatus();
}

bool Matches(std::string_view text, std::string_view pattern) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  std::size_t t = 0, p = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || lower(pattern[p]) == lower(text[t]))) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

absl::Status WaitFor(Duration duration, const Progress& progress) {
  const auto until = std::chrono::steady_clock::now() + duration;
  while (std::chrono::steady_clock::now() < until) {
    if (progress.Cancelled()) return absl::CancelledError("interrupted");
    std::this_thread::sleep_for(std::min(duration, Duration(std::chrono::milliseconds(50))));
  }
  return absl::OkStatus();
}

bool IsWorthRetrying(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsAborted(status);
}

absl::StatusOr<PullReport> Pull(Archive& archive, InstanceStore* store, const Query& query,
                                const PullOptions& options, Progress& progress) {
  CONSILIUM_CHECK(store != nullptr || options.dry_run);
  RETURN_IF_ERROR(CheckQuery(query));
  absl::StatusOr<PullReport> report = PullRun(archive, store, query, options, progress).Run();
  archive.Finish();
  return report;
}

}  // namespace consilium::datasets::pacs
