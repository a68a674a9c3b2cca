#pragma once
// Libraries are built with hidden visibility; what crosses a library's border is marked GORGONE_API.

#define GORGONE_API __attribute__((visibility("default")))
