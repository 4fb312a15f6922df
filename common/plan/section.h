#pragma once

// Private to this folder: a plan's TOML, table by table. Each reading of a key reports what is
// wrong with it, so that all faults are told at once.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/text.h"

namespace consilium::plan {

// What is wrong with the plan.
class Faults {
 public:
  void Add(std::uint32_t line, std::string what) { faults_.push_back({line, std::move(what)}); }
  void AddMissing(std::string what);
  // kInvalidArgument with all of them, by line; OK when there are none.
  absl::Status ToStatus();

 private:
  struct Fault {
    std::uint32_t line;
    std::string what;
  };
  std::vector<Fault> faults_;
};

// Text of the plan's for a message: short and without control characters.
std::string Shown(std::string_view text);
// "did you mean batch_size?", or all that is allowed when nothing is near.
std::string Advice(std::string_view word, const std::vector<std::string>& allowed);

enum class Ends { kIncluded, kLowExcluded, kHighExcluded };

// One table of the plan. A reading returns nothing when the key is not there or wrong; Finish
// reports the keys that nobody read. Lives no longer than the Document it is of, and its Faults.
class Section {
 public:
  Section(Section&&) noexcept;
  ~Section();

  bool IsThere() const;
  bool Has(std::string_view key) const;

  std::optional<std::int64_t> Whole(std::string_view key, std::int64_t low, std::int64_t high);
  std::optional<double> Real(std::string_view key, double low, double high,
                             Ends ends = Ends::kIncluded);
  std::optional<bool> Flag(std::string_view key);
  std::optional<std::string> Text(std::string_view key);
  std::optional<std::vector<std::string>> Texts(std::string_view key);
  std::optional<std::vector<std::int64_t>> Wholes(std::string_view key, std::int64_t low,
                                                  std::int64_t high);
  // One of the words that Name gives them.
  template <class Enum>
  std::optional<Enum> Choice(std::string_view key, std::initializer_list<Enum> values) {
    const std::optional<std::string> word = Text(key);
    if (!word) return {};
    std::string allowed;
    for (const Enum value : values) {
      if (*word == Name(value)) return value;
      StrAppend(&allowed, allowed.empty() ? "\"" : ", \"", Name(value), "\"");
    }
    Refuse(key, StrCat("is not allowed: one of ", allowed));
    return {};
  }
  // The tables of an array [[name.key]], each by the same name.
  std::vector<Section> Tables(std::string_view key);

  // "line 12: training.batch_size = 0 <what>"
  void Refuse(std::string_view key, std::string_view what);
  // Each of these that is there: it "has no effect: <why>".
  void RefuseIfThere(std::initializer_list<std::string_view> keys, std::string_view why);
  void Missing(std::string_view key, std::string_view what);
  void Finish();

 private:
  friend class Document;
  struct Impl;
  explicit Section(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The whole text.
class Document {
 public:
  // kInvalidArgument: too long, or not TOML.
  static absl::StatusOr<Document> Parse(std::string_view text);
  Document(Document&&) noexcept;
  ~Document();

  bool Has(std::string_view table) const;
  // The table of that name; one without keys when there is none.
  Section Table(std::string name, Faults& faults) const;
  // Whatever else stands at the top.
  void RefuseUnknown(const std::vector<std::string>& known, Faults& faults) const;
  // Every table but these "has no effect: <why>".
  void RefuseTablesBut(std::initializer_list<std::string_view> allowed, std::string_view why,
                       Faults& faults) const;
  void RefuseTable(std::string_view table, std::string_view why, Faults& faults) const;

 private:
  struct Impl;
  explicit Document(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

template <class To, class From>
void Set(To& to, const std::optional<From>& from) {
  if (from) to = static_cast<To>(*from);
}

}  // namespace consilium::plan
