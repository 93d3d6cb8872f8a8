// Before anything is drawn: the theme that was chosen here, else that of the system.
"use strict";
{
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* storage may be off */ }
  if (kept) document.documentElement.dataset.theme = kept;
}
