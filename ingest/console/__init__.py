"""The console: server-rendered pages in Chinese and English. No script, no font, no style from elsewhere."""
