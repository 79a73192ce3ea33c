// The page's style and script. Both stand in the page itself: it fetches
// nothing but /status from where it came.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_PAGE_ASSETS_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_PAGE_ASSETS_H_

namespace dynweight {

// What the style and script elements hold.
extern const char kPageStyle[];
extern const char kPageScript[];

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_PAGE_ASSETS_H_
