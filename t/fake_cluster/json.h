// cJSON with owners and defaults.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_JSON_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_JSON_H_

#include <cjson/cJSON.h>

#include <memory>
#include <string>
#include <string_view>

namespace dynweight::fake {

struct JsonDeleter {
  void operator()(cJSON* json) const { cJSON_Delete(json); }
};
using Json = std::unique_ptr<cJSON, JsonDeleter>;

inline Json ParseJson(std::string_view text) {
  return Json(cJSON_ParseWithLength(text.data(), text.size()));
}

inline std::string PrintJson(const cJSON* json) {
  char* text = cJSON_PrintUnformatted(json);
  std::string result = text == nullptr ? "" : text;
  cJSON_free(text);
  return result;
}

// `text` as a JSON string, with its quotes.
inline std::string Quote(const std::string& text) {
  return PrintJson(Json(cJSON_CreateString(text.c_str())).get());
}

inline const cJSON* Member(const cJSON* object, const char* key) {
  return cJSON_GetObjectItemCaseSensitive(object, key);
}

inline std::string StringMember(const cJSON* object, const char* key,
                                const char* otherwise = "") {
  const cJSON* member = Member(object, key);
  return cJSON_IsString(member) ? member->valuestring : otherwise;
}

inline double NumberMember(const cJSON* object, const char* key,
                           double otherwise = 0) {
  const cJSON* member = Member(object, key);
  return cJSON_IsNumber(member) ? member->valuedouble : otherwise;
}

inline bool BoolMember(const cJSON* object, const char* key,
                       bool otherwise = false) {
  const cJSON* member = Member(object, key);
  return cJSON_IsBool(member) ? cJSON_IsTrue(member) != 0 : otherwise;
}

}  // namespace dynweight::fake

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_JSON_H_
