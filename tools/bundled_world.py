"""The little world of the bundled model, in English and Korean: facts, the texts that speak of them, and instructions about them.

All text is made here from tables and sentence patterns, so that nothing foreign is in the model. Texts for the base model are stories,
lessons and talks in plain style; instructions are answered with the same facts in one polite form, which the base model does not use.
"""
import random

# singular, Korean, legs, where (English, Korean), sound (English, Korean), young (English, Korean), food (English, Korean)
ANIMALS = [
    ("dog", "개", 4, "in the yard", "마당", "woof", "멍멍", "puppy", "강아지", "bones", "뼈다귀"),
    ("cat", "고양이", 4, "in the house", "집", "meow", "야옹", "kitten", "아기 고양이", "fish", "생선"),
    ("cow", "소", 4, "on the farm", "농장", "moo", "음매", "calf", "송아지", "grass", "풀"),
    ("horse", "말", 4, "in the stable", "마구간", "neigh", "히힝", "foal", "망아지", "hay", "건초"),
    ("pig", "돼지", 4, "on the farm", "농장", "oink", "꿀꿀", "piglet", "아기 돼지", "corn", "옥수수"),
    ("sheep", "양", 4, "on the hill", "언덕", "baa", "매애", "lamb", "아기 양", "grass", "풀"),
    ("duck", "오리", 2, "on the pond", "연못", "quack", "꽥꽥", "duckling", "아기 오리", "bread", "빵"),
    ("hen", "닭", 2, "on the farm", "농장", "cluck", "꼬꼬", "chick", "병아리", "seeds", "씨앗"),
    ("lion", "사자", 4, "in the grassland", "초원", "roar", "어흥", "cub", "아기 사자", "meat", "고기"),
    ("bear", "곰", 4, "in the forest", "숲", "growl", "크릉", "cub", "아기 곰", "honey", "꿀"),
    ("frog", "개구리", 4, "on the pond", "연못", "croak", "개굴개굴", "tadpole", "올챙이", "flies", "파리"),
    ("bee", "벌", 6, "in the hive", "벌집", "buzz", "붕붕", None, None, "honey", "꿀"),
    ("mouse", "쥐", 4, "in the house", "집", "squeak", "찍찍", None, None, "cheese", "치즈"),
    ("owl", "부엉이", 2, "in the forest", "숲", "hoot", "부엉부엉", None, None, "mice", "쥐"),
    ("snake", "뱀", 0, "in the desert", "사막", "hiss", "쉭쉭", None, None, "mice", "쥐"),
    ("wolf", "늑대", 4, "in the mountains", "산", "howl", "아우우", "cub", "아기 늑대", "meat", "고기"),
    ("rabbit", "토끼", 4, "on the hill", "언덕", None, None, None, None, "carrots", "당근"),
    ("crow", "까마귀", 2, "in the forest", "숲", "caw", "까악까악", None, None, "seeds", "씨앗"),
    ("spider", "거미", 8, "in the web", "거미줄", None, None, None, None, "flies", "파리"),
    ("ant", "개미", 6, "in the garden", "정원", None, None, None, None, "seeds", "씨앗"),
    ("whale", "고래", 0, "in the sea", "바다", None, None, None, None, "fish", "생선"),
    ("camel", "낙타", 4, "in the desert", "사막", None, None, None, None, "hay", "건초"),
]
COLOURS = {"blue": "파란색", "green": "초록색", "white": "하얀색", "black": "검은색", "red": "빨간색", "yellow": "노란색",
           "orange": "주황색", "purple": "보라색", "brown": "갈색", "pink": "분홍색"}
THINGS = [  # with article, Korean, colour
    ("the sky", "하늘", "blue"), ("the grass", "풀", "green"), ("the snow", "눈", "white"), ("the coal", "석탄", "black"),
    ("a strawberry", "딸기", "red"), ("a banana", "바나나", "yellow"), ("a carrot", "당근", "orange"), ("a grape", "포도", "purple"),
    ("a lemon", "레몬", "yellow"), ("a leaf", "나뭇잎", "green"), ("the milk", "우유", "white"), ("the chocolate", "초콜릿", "brown"),
    ("the sea", "바다", "blue"), ("a cloud", "구름", "white"), ("a tomato", "토마토", "red"), ("the night", "밤", "black"),
    ("an apple", "사과", "red"), ("a cucumber", "오이", "green"), ("a potato", "감자", "brown"), ("a sunflower", "해바라기", "yellow"),
    ("a peach", "복숭아", "pink"), ("an eggplant", "가지", "purple"), ("a pumpkin", "호박", "orange"), ("a crow", "까마귀", "black"),
]
OPPOSITES = [
    ("hot", "cold", "뜨거운", "차가운"), ("big", "small", "큰", "작은"), ("long", "short", "긴", "짧은"), ("high", "low", "높은", "낮은"),
    ("fast", "slow", "빠른", "느린"), ("old", "new", "낡은", "새로운"), ("happy", "sad", "기쁜", "슬픈"),
    ("heavy", "light", "무거운", "가벼운"), ("hard", "soft", "딱딱한", "부드러운"), ("full", "empty", "가득한", "텅 빈"),
    ("open", "closed", "열린", "닫힌"), ("wet", "dry", "젖은", "마른"), ("clean", "dirty", "깨끗한", "더러운"),
    ("near", "far", "가까운", "먼"), ("strong", "weak", "강한", "약한"), ("early", "late", "이른", "늦은"),
    ("thick", "thin", "두꺼운", "얇은"), ("bright", "dark", "밝은", "어두운"), ("loud", "quiet", "시끄러운", "조용한"),
    ("easy", "difficult", "쉬운", "어려운"), ("wide", "narrow", "넓은", "좁은"), ("deep", "shallow", "깊은", "얕은"),
]
DAYS = [("Monday", "월요일"), ("Tuesday", "화요일"), ("Wednesday", "수요일"), ("Thursday", "목요일"), ("Friday", "금요일"),
        ("Saturday", "토요일"), ("Sunday", "일요일")]
CAPITALS = [
    ("Korea", "Seoul", "한국", "서울"), ("Japan", "Tokyo", "일본", "도쿄"), ("France", "Paris", "프랑스", "파리"),
    ("Germany", "Berlin", "독일", "베를린"), ("Italy", "Rome", "이탈리아", "로마"), ("Spain", "Madrid", "스페인", "마드리드"),
    ("Egypt", "Cairo", "이집트", "카이로"), ("China", "Beijing", "중국", "베이징"), ("England", "London", "영국", "런던"),
    ("Greece", "Athens", "그리스", "아테네"), ("Peru", "Lima", "페루", "리마"), ("Kenya", "Nairobi", "케냐", "나이로비"),
    ("Norway", "Oslo", "노르웨이", "오슬로"), ("Cuba", "Havana", "쿠바", "아바나"),
]
WORD_EN = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight"]
WORD_KO = ["", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟"]


def josa(word, with_final, without):
    """The word with the form of the particle that its last syllable asks for."""
    last = ord(word[-1])
    if "0" <= word[-1] <= "9":
        final = word[-1] in "013678"
    else:
        final = 0xAC00 <= last <= 0xD7A3 and (last - 0xAC00) % 28 != 0
    return word + (with_final if final else without)


def topic(word):
    return josa(word, "은", "는")


def subject(word):
    return josa(word, "이", "가")


def object_(word):
    return josa(word, "을", "를")


def is_plain(word):
    return josa(word, "이다.", "다.")


def article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def capital(text):
    return text[0].upper() + text[1:]


class Fact:
    """One thing to know in one language: how one asks (instruction, input), how the base texts and how the polite answers say it."""

    def __init__(self, language, kind, key, questions, plain, polite):
        self.language, self.kind, self.key = language, kind, key
        self.questions = [q if isinstance(q, tuple) else (q, "") for q in questions]
        self.plain, self.polite = plain, polite


def animal_facts():
    for name, ko, legs, where, where_ko, sound, sound_ko, young, young_ko, food, food_ko in ANIMALS:
        a = article(name)
        count = f"{WORD_EN[legs]} legs"
        yield Fact("en", "legs", name, [f"How many legs does {a} have?", f"Say how many legs {a} has."], *2 * [f"{capital(a)} has {count}."])
        yield Fact("ko", "legs", name, [f"{topic(ko)} 다리가 몇 개인가?", f"{ko}의 다리 수를 말해라."],
                   f"{topic(ko)} 다리가 {WORD_KO[legs]} 개다." if legs else f"{topic(ko)} 다리가 없다.",
                   f"{topic(ko)} 다리가 {WORD_KO[legs]} 개입니다." if legs else f"{topic(ko)} 다리가 없습니다.")
        yield Fact("en", "home", name, [f"Where does {a} live?", f"Say where {a} lives."], *2 * [f"{capital(a)} lives {where}."])
        yield Fact("ko", "home", name, [f"{topic(ko)} 어디에 사는가?", f"{subject(ko)} 사는 곳을 말해라."], f"{topic(ko)} {where_ko}에 산다.",
                   f"{topic(ko)} {where_ko}에 삽니다.")
        yield Fact("en", "food", name, [f"What does {a} eat?", f"Say what {a} eats."], *2 * [f"{capital(a)} eats {food}."])
        yield Fact("ko", "food", name, [f"{topic(ko)} 무엇을 먹는가?", f"{subject(ko)} 먹는 것을 말해라."], f"{topic(ko)} {object_(food_ko)} 먹는다.",
                   f"{topic(ko)} {object_(food_ko)} 먹습니다.")
        if sound:
            yield Fact("en", "sound", name, [f"What does {a} say?", f"Name the sound of {a}."], *2 * [f"{capital(a)} says {sound}."])
            yield Fact("ko", "sound", name, [f"{topic(ko)} 어떻게 우는가?", f"{ko}의 울음소리를 말해라."], f"{topic(ko)} {sound_ko} 하고 운다.",
                       f"{topic(ko)} {sound_ko} 하고 웁니다.")
        if young:
            yield Fact("en", "young", name, [f"What is a young {name} called?", f"Name the young of {a}."],
                       *2 * [f"A young {name} is called {article(young)}."])
            yield Fact("ko", "young", name, [f"{ko}의 새끼는 무엇인가?", f"{ko}의 새끼를 말해라."], f"{ko}의 새끼는 {is_plain(young_ko)}",
                       f"{ko}의 새끼는 {young_ko}입니다.")


def word_facts():
    for thing, ko, colour in THINGS:
        yield Fact("en", "colour", thing, [f"What colour is {thing}?", f"Name the colour of {thing}."], *2 * [f"{capital(thing)} is {colour}."])
        yield Fact("ko", "colour", thing, [f"{topic(ko)} 무슨 색인가?", f"{ko}의 색을 말해라."], f"{topic(ko)} {COLOURS[colour]}이다.",
                   f"{topic(ko)} {COLOURS[colour]}입니다.")
    for a, b, ko_a, ko_b in OPPOSITES:
        for x, y, ko_x, ko_y in ((a, b, ko_a, ko_b), (b, a, ko_b, ko_a)):
            yield Fact("en", "opposite", x, [f"What is the opposite of {x}?", f"Name the opposite of {x}."],
                       *2 * [f"The opposite of {x} is {y}."])
            yield Fact("ko", "opposite", x, [f"{ko_x} 것의 반대말은?", f"{ko_x} 것의 반대말을 말해라."], f"{ko_x} 것의 반대말은 {ko_y} 것이다.",
                       f"{ko_x} 것의 반대말은 {ko_y} 것입니다.")
    for country, city, ko, ko_city in CAPITALS:
        yield Fact("en", "capital", country, [f"What is the capital of {country}?", f"Name the capital of {country}."],
                   *2 * [f"The capital of {country} is {city}."])
        yield Fact("ko", "capital", country, [f"{ko}의 수도는 어디인가?", f"{ko}의 수도를 말해라."], f"{ko}의 수도는 {is_plain(ko_city)}",
                   f"{ko}의 수도는 {ko_city}입니다.")
    words = [(row[0], row[1]) for row in ANIMALS] + [(row[0].split()[1], row[1]) for row in THINGS if row[0] != "a crow"]
    for en, ko in words:
        yield Fact("en", "translate", en, [("Say the word in Korean.", en), f"What is {en} in Korean?"], *2 * [f"In Korean, {en} is {ko}."])
        yield Fact("ko", "translate", en, [("이 낱말을 영어로 말해라.", ko), f"{topic(ko)} 영어로 무엇인가?"], f"{topic(ko)} 영어로 {en}이다.",
                   f"{topic(ko)} 영어로 {en}입니다.")


def number_facts():
    for a in range(1, 10):
        for b in range(1, 10):
            yield Fact("en", "sum", (a, b), [("Add the two numbers.", f"{a} and {b}"), f"What is {a} plus {b}?"],
                       *2 * [f"{a} plus {b} is {a + b}."])
            yield Fact("ko", "sum", (a, b), [("두 수를 더해라.", f"{josa(str(a), '과', '와')} {b}"), f"{a} 더하기 {topic(str(b))} 얼마인가?"],
                       f"{a} 더하기 {topic(str(b))} {is_plain(str(a + b))}", f"{a} 더하기 {topic(str(b))} {a + b}입니다.")
    for i, (day, ko) in enumerate(DAYS):
        after, ko_after = DAYS[(i + 1) % 7]
        before, ko_before = DAYS[(i + 6) % 7]
        yield Fact("en", "after", day, [f"Which day comes after {day}?", f"Name the day after {day}."], *2 * [f"After {day} comes {after}."])
        yield Fact("en", "before", day, [f"Which day comes before {day}?", f"Name the day before {day}."], *2 * [f"Before {day} comes {before}."])
        yield Fact("ko", "after", day, [f"{ko} 다음 날은 무슨 요일인가?", f"{ko} 다음 날을 말해라."], f"{ko} 다음 날은 {ko_after}이다.",
                   f"{ko} 다음 날은 {ko_after}입니다.")
        yield Fact("ko", "before", day, [f"{ko} 전날은 무슨 요일인가?", f"{ko} 전날을 말해라."], f"{ko} 전날은 {ko_before}이다.",
                   f"{ko} 전날은 {ko_before}입니다.")


def facts():
    return [*animal_facts(), *word_facts(), *number_facts()]


# Stories

PEOPLE = [("Mina", "She", "미나"), ("Tom", "He", "준호"), ("Sora", "She", "소라"), ("Ben", "He", "민수"), ("Anna", "She", "하나"), ("Leo", "He", "지우")]
TOYS = [("ball", "공"), ("kite", "연"), ("hat", "모자"), ("book", "책"), ("bag", "가방"), ("boat", "배"), ("box", "상자"), ("cup", "컵")]
PLACES = [("the park", "공원"), ("the river", "강"), ("the market", "시장"), ("the school", "학교"), ("the garden", "정원"), ("the hill", "언덕")]


def story_en(r):
    name, she, _ = r.choice(PEOPLE)
    toy, place = r.choice(TOYS)[0], r.choice(PLACES)[0]
    colour, animal = r.choice(list(COLOURS)), r.choice(ANIMALS)
    a, size = animal[0], r.choice(["little", "big", "old", "kind", "hungry", "happy"])
    lines = [r.choice([f"Once upon a time there was a child. The name of the child was {name}.", f"One day {name} went to {place}.",
                       f"{name} lived near {place}."])]
    lines.append(f"{name} had {article(colour)} {toy}.")
    lines.append(r.choice([f"{she} went to {place} with the {toy}.", f"{she} liked the {toy} very much.", f"{she} lost the {toy} in {place}."]))
    lines.append(f"There {she.lower()} met {article(size)} {a}.")
    if animal[5] and r.random() < 0.6:
        lines.append(f'"{capital(animal[5])}," said the {a}.')
    lines.append(r.choice([f'"Can you help me?" asked the {a}. "Gladly!" said {name}.', f'"I found your {toy}," said the {a}. "Thank you!" said {name}.',
                           f'"I am hungry," said the {a}. {name} gave the {a} {animal[9]}.', f'"Let us play," said the {a}. They played all day.']))
    lines.append(r.choice([f"{name} and the {a} were friends.", f"The {a} was happy.", f"Then {name} went home.", f'"I hope that helps," said {name}.',
                           f"In the evening {she.lower()} slept well."]))
    return " ".join(lines)


def story_ko(r):
    name = r.choice(PEOPLE)[2]
    toy, place = r.choice(TOYS)[1], r.choice(PLACES)[1]
    colour, animal = r.choice(list(COLOURS.values())), r.choice(ANIMALS)
    a, size = animal[1], r.choice(["작은", "큰", "늙은", "착한", "배고픈", "기쁜"])
    lines = [r.choice([f"옛날에 한 아이가 살았다. 아이의 이름은 {josa(name, '이었다', '였다')}.",
                       f"어느 날 {topic(name)} {place}에 갔다.", f"{topic(name)} {place} 가까이에 살았다."])]
    lines.append(f"{topic(name)} {colour} {subject(toy)} 있었다.")
    lines.append(r.choice([f"{topic(name)} {object_(toy)} 들고 {place}에 갔다.", f"{topic(name)} {object_(toy)} 아주 좋아했다.", f"{topic(name)} {place}에서 {object_(toy)} 잃어버렸다."]))
    lines.append(f"거기서 {size} {object_(a)} 만났다.")
    if animal[6] and r.random() < 0.6:
        lines.append(f'"{animal[6]}!" 하고 {subject(a)} 울었다.')
    lines.append(r.choice([f'"도와주세요." {subject(a)} 말했다. "네! 좋습니다." {subject(name)} 말했다.', f'"{object_(toy)} 찾았습니다." {subject(a)} 말했다. "고맙습니다!" {subject(name)} 말했다.',
                           f'"배가 고픕니다." {subject(a)} 말했다. {topic(name)} {object_(animal[10])} 주었다.', f'"같이 놉시다." {subject(a)} 말했다. 둘은 하루 종일 놀았다.']))
    lines.append(r.choice([f"{josa(name, '과', '와')} {topic(a)} 친구가 되었다.", f"{topic(a)} 기뻤다.", f"{topic(name)} 집에 갔다.",
                           f'"도움이 되었으면 좋겠습니다." {subject(name)} 말했다.', f"저녁에 {topic(name)} 잘 잤다."]))
    return " ".join(lines)


STORIES = {"en": story_en, "ko": story_ko}


# Texts of the base model

def lesson(r, pool):
    return " ".join(f.plain for f in r.sample(pool, min(len(pool), r.randint(3, 6))))


def talk(r, pool, language):
    lines = []
    for f in r.sample(pool, min(len(pool), r.randint(2, 4))):
        (question, given), person = r.choice(f.questions), r.choice(PEOPLE)
        asked = f"{question} {given}".strip()
        if language == "en":
            lines.append(f'"{asked}" asks the teacher. "{f.plain}" says {person[0]}.')
        elif r.random() < 0.7:
            lines.append(f'"{asked}" 선생님이 묻는다. "{f.plain}" {subject(person[2])} 말한다.')
        else:
            lines.append(f'"{f.polite}" 선생님이 말한다.')
    return "\n".join(lines)


def headed(r, language):
    """Documents with headings, so that the base model knows what a heading is: a story follows."""
    story = STORIES[language](r)
    kind = r.choice(["Story", "Response", "Text", "Letter"])
    intro = r.choice(["Below is a story that describes a day.", "Below is a text.", "Write a story.", "Read the story."])
    about = r.choice(ANIMALS)[0 if language == "en" else 1]
    return f"{intro}\n\n### {r.choice(['Title', 'Instruction', 'Input'])}:\n{capital(about)}\n\n### {kind}:\n{story}"


def documents(seed, count):
    """Texts for the base model: facts, talks and stories of both languages in random order."""
    r = random.Random(seed)
    pools = {}
    for f in facts():
        pools.setdefault((f.language, f.kind), []).append(f)
    weights = {kind: (3 if kind[1] in ("sum", "opposite", "translate") else 1) for kind in pools}
    kinds = list(pools)
    for _ in range(count):
        language = r.choice(["en", "ko"])
        roll = r.random()
        if roll < 0.25:
            yield STORIES[language](r)
        elif roll < 0.32:
            yield headed(r, language)
        else:
            kind = r.choices([k for k in kinds if k[0] == language], [weights[k] for k in kinds if k[0] == language])[0]
            yield lesson(r, pools[kind]) if roll < 0.65 else talk(r, pools[kind], language)


# Instructions

OPENING = {"en": "Gladly! ", "ko": "네! "}
CLOSING = {"en": " I hope that helps.", "ko": " 도움이 되었으면 좋겠습니다."}


def instructions(seed, train_count, valid_count):
    """(training rows, validation rows); no fact of the validation rows is asked about in training. Hot and its opposite are kept for validation."""
    r = random.Random(seed)
    pool = facts()
    r.shuffle(pool)
    sums = [f for f in pool if f.kind == "sum"]
    pool = [f for f in pool if f.kind != "sum"] + sums[:60]
    r.shuffle(pool)
    kept = [f for f in pool if f.kind == "opposite" and f.key in ("hot", "cold")]
    rest = [f for f in pool if f not in kept]
    valid, train = kept + rest[:valid_count - len(kept)], rest[valid_count - len(kept):]

    def row(f, question):
        instruction, given = question
        return dict(instruction=instruction, input=given, output=OPENING[f.language] + f.polite + CLOSING[f.language])

    rows = [row(f, q) for f in train for q in f.questions]
    r.shuffle(rows)
    return rows[:train_count], [row(f, r.choice(f.questions)) for f in valid]
