CREATE ROLE metertree LOGIN CREATEDB PASSWORD '{password}';
CREATE DATABASE metertree OWNER metertree;
