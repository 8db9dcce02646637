const dialog = document.querySelector('dialog'), enlarged = dialog.querySelector('img');
let row = [], index = 0;
function enlarge(n) {
  index = (n + row.length) % row.length;
  const image = row[index];
  enlarged.src = image.src;
  enlarged.style.imageRendering = image.naturalWidth < 250 ? 'pixelated' : 'auto';
  enlarged.style.setProperty('--aspect', image.naturalWidth / image.naturalHeight);
  dialog.querySelector('b').textContent = image.alt;
}
function show(image) {
  row = [...image.closest('.row').querySelectorAll('figure img')];
  enlarge(row.indexOf(image));
  dialog.showModal();
}
document.querySelectorAll('figure img').forEach(image => {
  image.tabIndex = 0;
  image.setAttribute('role', 'button');
  image.addEventListener('click', () => show(image));
  image.addEventListener('keydown', event => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    show(image);
  });
});
dialog.addEventListener('click', () => dialog.close());
document.addEventListener('keydown', event => {
  if (!dialog.open) return;
  if (event.key === 'ArrowRight') enlarge(index + 1);
  if (event.key === 'ArrowLeft') enlarge(index - 1);
});
