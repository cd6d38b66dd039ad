"use strict";
const field = document.getElementById("code");
document.getElementById("open").addEventListener("submit", (event) => {
  event.preventDefault();
  // People paste the whole link as well as the code alone.
  const code = field.value.trim().toLowerCase().replace(/[?#].*$/, "").replace(/\/+$/, "").split("/").pop();
  if (/^[a-z0-9]{1,64}$/.test(code)) {
    location.assign("g/" + code);
  } else {
    document.getElementById("hint").textContent = "A code has letters and digits only.";
    field.focus();
  }
});
