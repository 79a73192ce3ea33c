// For tests: metrics and the page's tables read back, as those read them whom
// they are for.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_DOCUMENT_READER_FIXTURE_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_DOCUMENT_READER_FIXTURE_H_

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dynweight {

// Name without prefix, labels.
using Sample = std::pair<std::string, std::map<std::string, std::string>>;

// The labels that `line` begins with, taken off it, unescaped.
inline std::map<std::string, std::string> TakeLabels(std::string_view* line) {
  std::map<std::string, std::string> labels;
  while (!line->empty() && line->front() != '}') {
    line->remove_prefix(1);  // "{" or ","
    const size_t equals = line->find("=\"");
    if (equals == line->npos) break;
    std::string& value = labels[std::string(line->substr(0, equals))];
    line->remove_prefix(equals + 2);
    while (!line->empty() && line->front() != '"') {
      if (line->front() == '\\') {
        line->remove_prefix(1);
        value += line->front() == 'n' ? '\n' : line->front();
      } else {
        value += line->front();
      }
      line->remove_prefix(1);
    }
    line->remove_prefix(1);
  }
  EXPECT_FALSE(line->empty());
  if (!line->empty()) line->remove_prefix(1);
  return labels;
}

// The text format of Prometheus: no sample twice, and nothing else in it.
inline std::map<Sample, std::string> ParseMetrics(std::string_view text) {
  static constexpr std::string_view kPrefix = "nginx_dynamic_weight_";
  std::map<Sample, std::string> samples;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() + 1);
    if (line.substr(0, 2) == "# ") continue;
    EXPECT_EQ(line.substr(0, kPrefix.size()), kPrefix);
    line.remove_prefix(kPrefix.size());
    Sample sample;
    const size_t end = line.find_first_of("{ ");
    sample.first = line.substr(0, end);
    line.remove_prefix(end);
    if (line.front() == '{') sample.second = TakeLabels(&line);
    EXPECT_EQ(line.front(), ' ');
    line.remove_prefix(1);
    EXPECT_EQ(line.find_first_not_of("0123456789."), line.npos) << line;
    EXPECT_TRUE(samples.emplace(sample, line).second) << sample.first;
  }
  return samples;
}

// The cells' texts of the rows of the page's table of this id; tags are left
// out, references stay.
inline std::vector<std::vector<std::string>> TableRows(std::string_view page,
                                                       std::string_view id) {
  std::vector<std::vector<std::string>> rows;
  const size_t begin =
      page.find("<tbody>", page.find("id=\"" + std::string(id) + "\""));
  if (begin == page.npos) return rows;
  page = page.substr(begin, page.find("</table>", begin) - begin);
  while (!page.empty()) {
    if (page.front() == '<') {
      if (page.substr(0, 4) == "<tr>") rows.emplace_back();
      if (page.substr(0, 3) == "<td") rows.back().emplace_back();
      page.remove_prefix(page.find('>') + 1);
      continue;
    }
    if (page.front() != '\n') rows.back().back() += page.front();
    page.remove_prefix(1);
  }
  return rows;
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_DOCUMENT_READER_FIXTURE_H_
