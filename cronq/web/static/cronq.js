// Loads the page's numbers again every few seconds, and copies commands. All works without it.
"use strict";
(() => {
  const EVERY = 3000;
  const live = () => document.getElementById("live");

  // Not while the tab is hidden, something is selected or typed, or a question is open.
  const busy = () => {
    const at = document.activeElement;
    const typing = at && ["INPUT", "SELECT", "TEXTAREA"].includes(at.tagName);
    const selected = window.getSelection() && !window.getSelection().isCollapsed;
    return document.hidden || typing || selected || !live() || !("live" in live().dataset);
  };

  const csrf = () => document.querySelector('meta[name="csrf"]').content;

  const follow = () => {
    const job = document.querySelector("[data-follow]");
    if (job) fetch(`${location.pathname.replace(/\/$/, "")}/follow`, {method: "POST", headers: {"X-CSRF-Token": csrf()}});
  };

  const opened = () => [...document.querySelectorAll("#live details")].map(one => [one.id, one.open]);

  let waits = false;
  const refresh = async () => {
    if (busy() || waits) return;
    waits = true;
    const before = opened();
    try {
      follow();
      await htmx.ajax("GET", location.href, {target: "#live", select: "#live", swap: "outerMorph"});
      for (const [id, open] of before) {
        const one = id && document.getElementById(id);
        if (one) one.open = open;
      }
      decorate();
    } catch (error) {
      console.warn("cronq: the page could not be loaded again", error);
    } finally {
      waits = false;
    }
  };

  // A button beside each command that puts it into the clipboard.
  const decorate = () => {
    for (const command of document.querySelectorAll(".command")) {
      if (command.querySelector("button") || !navigator.clipboard) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "copy";
      button.setAttribute("aria-label", `copy ${command.textContent.trim()}`);
      command.append(button);
    }
  };

  document.addEventListener("click", async event => {
    const button = event.target.closest(".copy");
    if (!button) return;
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });

  document.addEventListener("DOMContentLoaded", () => {
    decorate();
    setInterval(refresh, EVERY);
  });
  document.addEventListener("visibilitychange", refresh);
})();
