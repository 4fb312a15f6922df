#include "datasets/deidentification/text_cleaner.h"

#include <algorithm>
#include <array>

namespace consilium::datasets::deidentification {
namespace {

constexpr std::string_view kWords[] = {
#include "datasets/deidentification/vocabulary.inc"
};
static_assert(std::is_sorted(std::begin(kWords), std::end(kWords)));

constexpr std::array<std::string_view, 15> kUnits = {
    "mm", "cm", "ms", "sec", "s", "min", "kv", "kvp", "ma", "mas", "hz", "t", "ml", "mmhg", "deg"};

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return Lower(c); });
  return lower;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWordByte(char c) {
  // Bytes above 127 are letters of some character set.
  return IsDigit(c) || (Lower(c) >= 'a' && Lower(c) <= 'z') || static_cast<unsigned char>(c) > 127;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return text;
}

bool IsUnit(std::string_view word) {
  return std::find(kUnits.begin(), kUnits.end(), Lower(word)) != kUnits.end();
}

// Digits, at most three before a point and two after: "5", "1.25"; what is left after it.
bool TakeNumber(std::string_view* word) {
  std::size_t whole = 0;
  while (whole < word->size() && IsDigit((*word)[whole])) ++whole;
  if (whole == 0 || whole > 3) return false;
  std::size_t end = whole;
  if (end + 1 < word->size() && (*word)[end] == '.' && IsDigit((*word)[end + 1])) {
    ++end;
    while (end < word->size() && IsDigit((*word)[end])) ++end;
    if (end - whole > 3) return false;
  }
  word->remove_prefix(end);
  return true;
}

// A number that the unit right behind it, or the next word, explains.
bool IsMeasure(std::string_view word, std::string_view next) {
  if (!TakeNumber(&word)) return false;
  return word.empty() ? IsUnit(next) : IsUnit(word);
}

// Words of letters, digits and points between digits. From an escape to a multi-byte set up to the
// escape back to ASCII there are none (PS3.3 C.12.1.1.2).
std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '\x1b') {
      const std::size_t back = text.find("\x1b(B", i + 1);
      if (back == std::string_view::npos) break;
      i = back + 3;
      continue;
    }
    if (!IsWordByte(text[i])) {
      ++i;
      continue;
    }
    const std::size_t start = i;
    const auto is_point = [&](std::size_t at) {
      return text[at] == '.' && IsDigit(text[at - 1]) && at + 1 < text.size() &&
             IsDigit(text[at + 1]);
    };
    while (i < text.size() && (IsWordByte(text[i]) || is_point(i))) ++i;
    words.push_back(text.substr(start, i - start));
  }
  return words;
}

}  // namespace

bool IsKnownWord(std::string_view word) {
  const std::string lower = Lower(word);
  return std::binary_search(std::begin(kWords), std::end(kWords), std::string_view(lower));
}

void IdentifierGuard::AddName(std::string_view name) {
  constexpr std::string_view kBetween = "^=\\ ,\r\n\t";
  for (std::size_t start = 0; start < name.size();) {
    const std::size_t end = std::min(name.find_first_of(kBetween, start), name.size());
    AddValue(name.substr(start, end - start), 3);
    start = end + 1;
  }
}

void IdentifierGuard::AddNumber(std::string_view number) {
  AddValue(number, 4);
  for (std::size_t start = 0; start < number.size(); ++start) {
    const std::size_t begin = start;
    while (start < number.size() && IsDigit(number[start])) ++start;
    AddValue(number.substr(begin, start - begin), 6);
  }
}

void IdentifierGuard::AddValue(std::string_view value, std::size_t least) {
  value = Trim(value);
  if (value.size() < least) return;
  std::string lower = Lower(value);
  if (std::find(identifiers_.begin(), identifiers_.end(), lower) == identifiers_.end()) {
    identifiers_.push_back(std::move(lower));
  }
}

bool IdentifierGuard::IsIn(std::string_view text) const {
  if (identifiers_.empty() || text.empty()) return false;
  const std::string lower = Lower(text);
  return std::any_of(identifiers_.begin(), identifiers_.end(), [&](const std::string& wanted) {
    for (std::size_t at = lower.find(wanted); at != std::string::npos;
         at = lower.find(wanted, at + 1)) {
      const std::size_t end = at + wanted.size();
      const bool begins = at == 0 || !IsWordByte(lower[at - 1]) || !IsWordByte(wanted.front());
      const bool ends =
          end == lower.size() || !IsWordByte(lower[end]) || !IsWordByte(wanted.back());
      if (begins && ends) return true;
    }
    return false;
  });
}

std::string CleanText(std::string_view text, const IdentifierGuard& guard) {
  const std::vector<std::string_view> words = Words(text);
  std::string cleaned;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view next = i + 1 < words.size() ? words[i + 1] : std::string_view();
    const bool unit_of_number = i > 0 && IsUnit(words[i]) && IsMeasure(words[i - 1], words[i]);
    if (!IsKnownWord(words[i]) && !IsMeasure(words[i], next) && !unit_of_number) continue;
    if (guard.IsIn(words[i])) continue;
    if (!cleaned.empty()) cleaned += ' ';
    cleaned += words[i];
  }
  return cleaned;
}

}  // namespace consilium::datasets::deidentification
