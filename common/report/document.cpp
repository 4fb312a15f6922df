#include "common/report/document.h"

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "common/report/page_style.h"

namespace consilium::report {
namespace {

// What Markdown would take for a mark of its own; a line break would end a table's row.
std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\n') {
      escaped += ' ';
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      if (std::string_view("\\`*_[]<>|#").find(c) != std::string_view::npos) escaped += '\\';
      escaped += c;
    }
  }
  return escaped;
}

std::string Row(const std::vector<std::string>& cells) {
  std::string row = "|";
  for (const std::string& cell : cells) StrAppend(&row, " ", Escaped(cell), " |");
  return row + "\n";
}

std::string MarkdownTable(const std::vector<std::string>& header,
                          const std::vector<std::vector<std::string>>& rows) {
  std::string table = Row(header) + "|";
  for (std::size_t i = 0; i < header.size(); ++i) table += "---|";
  table += "\n";
  for (const auto& row : rows) table += Row(row);
  return table + "\n";
}

std::string PointTable(const LinePlot& plot) {
  std::vector<std::vector<std::string>> rows;
  for (const Series& series : plot.series) {
    if (series.colour == kReferenceColour) continue;
    for (const Point& point : series.points) {
      rows.push_back(
          {series.name, absl::StrFormat("%.3f", point.x), absl::StrFormat("%.3f", point.y)});
    }
  }
  return MarkdownTable({"", plot.x.label, plot.y.label}, rows);
}

}  // namespace

Document::Document(std::string title, std::string subtitle) : title_(std::move(title)) {
  StrAppend(&html_, "<h1>", EscapeMarkup(title_), "</h1>\n");
  StrAppend(&markdown_, "# ", Escaped(title_), "\n\n");
  if (subtitle.empty()) return;
  StrAppend(&html_, "<p class=\"quiet\">", EscapeMarkup(subtitle), "</p>\n");
  StrAppend(&markdown_, Escaped(subtitle), "\n\n");
}

void Document::Heading(std::string_view text) {
  StrAppend(&html_, "<h2>", EscapeMarkup(text), "</h2>\n");
  StrAppend(&markdown_, "## ", Escaped(text), "\n\n");
}

void Document::Paragraph(std::string_view text) {
  StrAppend(&html_, "<p>", EscapeMarkup(text), "</p>\n");
  StrAppend(&markdown_, Escaped(text), "\n\n");
}

void Document::Note(std::string_view text) {
  StrAppend(&html_, "<p class=\"note\">", EscapeMarkup(text), "</p>\n");
  StrAppend(&markdown_, Escaped(text), "\n\n");
}

void Document::Tiles(const std::vector<std::pair<std::string, std::string>>& tiles) {
  html_ += "<div class=\"tiles\">\n";
  for (const auto& [value, words] : tiles) {
    StrAppend(&html_, "<div class=\"tile\"><b>", EscapeMarkup(value), "</b><span>",
              EscapeMarkup(words), "</span></div>\n");
    StrAppend(&markdown_, "- **", Escaped(value), "** ", Escaped(words), "\n");
  }
  html_ += "</div>\n";
  markdown_ += "\n";
}

void Document::Terms(const std::vector<std::pair<std::string, std::string>>& terms) {
  html_ += "<dl>\n";
  for (const auto& [term, meaning] : terms) {
    StrAppend(&html_, "<dt>", EscapeMarkup(term), "</dt><dd>", EscapeMarkup(meaning), "</dd>\n");
    StrAppend(&markdown_, "- ", Escaped(term), ": ", Escaped(meaning), "\n");
  }
  html_ += "</dl>\n";
  markdown_ += "\n";
}

void Document::List(const std::vector<std::string>& items) {
  html_ += "<ul>\n";
  for (const std::string& item : items) {
    StrAppend(&html_, "<li>", EscapeMarkup(item), "</li>\n");
    StrAppend(&markdown_, "- ", Escaped(item), "\n");
  }
  html_ += "</ul>\n";
  markdown_ += "\n";
}

void Document::Table(const std::vector<std::string>& header,
                     const std::vector<std::vector<std::string>>& rows) {
  html_ += "<div class=\"scroll\"><table><thead><tr>";
  for (const std::string& cell : header) StrAppend(&html_, "<th>", EscapeMarkup(cell), "</th>");
  html_ += "</tr></thead><tbody>\n";
  for (const auto& row : rows) {
    html_ += "<tr>";
    for (const std::string& cell : row) StrAppend(&html_, "<td>", EscapeMarkup(cell), "</td>");
    html_ += "</tr>\n";
  }
  html_ += "</tbody></table></div>\n";
  markdown_ += MarkdownTable(header, rows);
}

void Document::Plots(const std::vector<LinePlot>& plots) {
  html_ += "<div class=\"figures\">\n";
  for (const LinePlot& plot : plots) {
    StrAppend(&html_, "<figure><h3>", EscapeMarkup(plot.title), "</h3>\n", LegendOf(plot),
              Draw(plot), "<figcaption>", EscapeMarkup(plot.description),
              "</figcaption></figure>\n");
    StrAppend(&markdown_, "### ", Escaped(plot.title), "\n\n", Escaped(plot.description), "\n\n",
              PointTable(plot));
  }
  html_ += "</div>\n";
}

void Document::Figures(std::string_view html) {
  StrAppend(&html_, "<div class=\"figures\">\n", html, "</div>\n");
}

void Document::Code(std::string_view text) {
  StrAppend(&html_, "<pre>", EscapeMarkup(text), "</pre>\n");
  StrAppend(&markdown_, "```\n", text, text.ends_with('\n') ? "" : "\n", "```\n\n");
}

std::string Document::Html() const {
  return StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
      EscapeMarkup(title_), "</title>\n<style>", kPageStyle, "</style></head>\n<body><main>\n",
      html_, "</main></body></html>\n");
}

std::string Document::Markdown() const { return markdown_; }

}  // namespace consilium::report
