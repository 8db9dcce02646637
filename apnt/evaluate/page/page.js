const view = document.querySelector('dialog'), big = view.querySelector('img');
let group = [], at = 0;
function show(n) {
  at = (n + group.length) % group.length;
  const image = group[at];
  big.src = image.src;
  big.style.imageRendering = image.naturalWidth < 250 ? 'pixelated' : 'auto';
  big.style.setProperty('--aspect', image.naturalWidth / image.naturalHeight);
  view.querySelector('b').textContent = image.alt;
}
document.querySelectorAll('figure img').forEach(image => image.addEventListener('click', () => {
  group = [...image.closest('.row').querySelectorAll('figure img')];
  show(group.indexOf(image));
  view.showModal();
}));
view.addEventListener('click', () => view.close());
document.addEventListener('keydown', event => {
  if (!view.open) return;
  if (event.key === 'ArrowRight') show(at + 1);
  if (event.key === 'ArrowLeft') show(at - 1);
});
