-- name: put_photo
INSERT INTO photos (photo, media, width, height, put_at, put_by, octets)
VALUES (%(photo)s, %(media)s, %(width)s, %(height)s, %(put_at)s, %(put_by)s, %(octets)s)
ON CONFLICT (photo) DO NOTHING;

-- name: find_photo
SELECT octets, media, width, height FROM photos WHERE photo = %(photo)s;

-- name: photos_there
SELECT photo FROM photos WHERE photo = ANY (%(photos)s);
