#pragma once

// A page made once and read twice: as HTML that stands alone (no scripts, nothing fetched, light
// and dark, printable) and as Markdown, for a repository or a ticket. All text is escaped.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/report/plot.h"

namespace consilium::report {

class Document {
 public:
  // `subtitle`: one quiet line below the title.
  explicit Document(std::string title, std::string subtitle = "");

  void Heading(std::string_view text);
  void Paragraph(std::string_view text);
  void Note(std::string_view text);  // small print
  // A few figures that matter most, side by side: value and words.
  void Tiles(const std::vector<std::pair<std::string, std::string>>& tiles);
  void Terms(const std::vector<std::pair<std::string, std::string>>& terms);
  void List(const std::vector<std::string>& items);
  // Rows as long as the header.
  void Table(const std::vector<std::string>& header,
             const std::vector<std::vector<std::string>>& rows);
  // Plots one after another, side by side where there is room. In Markdown each becomes the table
  // of its points: Markdown has no pictures of its own.
  void Plots(const std::vector<LinePlot>& plots);
  // Figures of one's own: <figure> elements, with all text in them escaped by their maker. Markdown
  // leaves them out.
  void Figures(std::string_view html);
  void Code(std::string_view text);

  std::string Html() const;
  std::string Markdown() const;

 private:
  std::string title_, html_, markdown_;
};

}  // namespace consilium::report
