#pragma once

// Free text, cleaned (action C of PS3.15 Table E.1-1a) by allow-list: what is left is made of words
// of a compiled-in vocabulary of radiology and of numbers with a unit. Names, dates, numbers of
// patients and rooms are not looked for; they are dropped with everything else that is not known.

#include <string>
#include <string_view>
#include <vector>

namespace consilium::datasets::deidentification {

// Whether the vocabulary has the word, in any case of letters.
bool IsKnownWord(std::string_view word);

// What identifies the patient, or others, in one data set: gathered before it is cleaned, to be
// looked for in everything that is kept. Not thread-safe while it is filled.
class IdentifierGuard {
 public:
  // A PN: each of its components of at least three bytes.
  void AddName(std::string_view person_name);
  // A patient's, visit's or order's number: the whole of at least four bytes, and the digits in it
  // when there are at least six.
  void AddNumber(std::string_view number);
  // A value as a whole, of at least `least` bytes without its padding.
  void AddValue(std::string_view value, std::size_t least);

  // Whether one of them stands in `text`, in any case of letters, not as a part of a longer word.
  bool IsIn(std::string_view text) const;

 private:
  std::vector<std::string> identifiers_;  // lower case
};

// The words of `text` that may stay, with one space between them; empty when none may. Text in a
// multi-byte character set (between ISO 2022 escape sequences) is dropped as a whole.
std::string CleanText(std::string_view text, const IdentifierGuard& guard);

}  // namespace consilium::datasets::deidentification
