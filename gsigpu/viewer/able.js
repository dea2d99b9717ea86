"use strict";
/* Whether this browser can draw the page. Where it cannot, the pictures at its end stay, and say so. In the language of
   old browsers, so that they run it. */
(function () {
  var root = document.documentElement;
  function able() {
    try {
      return Boolean(document.createElement("canvas").getContext("2d")) && typeof DecompressionStream === "function";
    } catch (error) {
      return false;
    }
  }
  if (!able()) return;
  root.className = "able";
  window.addEventListener("error", function (event) {
    if (!document.querySelector("#views canvas") && event.filename !== undefined) root.className = "";
  });
})();
