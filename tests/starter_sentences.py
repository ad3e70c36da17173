"""Sentences that a starter is tried on: plain threats and insults, everyday words, and other languages.

They were written after recipe and threshold were fixed, and neither was changed for them.
"""

THREATS = """
I am going to kill you
I will find you and hurt you
You will be dead by tomorrow
I know where you live and I am coming for you
I will break your legs
We will burn your house down
Say that again and I will smash your face
You deserve to be shot
I hope you die soon
Go and kill yourself
I will beat you until you cannot walk
Watch your back, you are next
Someone should put a bullet in your head
I want to strangle you
I will cut your throat
Your whole family will pay for this with blood
I swear I will stab you
They should hang people like you
I'll punch you in the face
Leave town or we will kill you
I'd love to see you bleed
You and your children will suffer
I am going to beat the crap out of you
If I ever meet you I will kill you with my own hands
Hope somebody runs you over with a truck
""".strip().split("\n")

INSULTS = """
You are an idiot
What a stupid little loser you are
Shut up, you moron
You are the dumbest person I have ever met
Nobody likes you, you pathetic loser
You disgusting pig
You are worthless trash
What a piece of garbage you are
You ugly fat cow
Get lost, you creep
You are a liar and a coward
Only a complete fool would write such crap
You make me sick, you filthy rat
Stupid people like you should not be allowed to talk
You brainless clown
I hate you, you disgusting excuse for a human being
Everybody knows you are a useless idiot
You are a dirty scumbag
Your mother must be ashamed of you, loser
Shut your stupid mouth
Go to hell, you miserable old hag
You dumb donkey, learn to read
What an ignorant jerk
You are a sick and twisted freak
Women like you are dumb and useless
You're a joke and a disgrace
Screw you and your stupid opinion
You are nothing but a fat lazy slob
How can anyone be this stupid
You absolute moron, delete your account
Kiss my ass, you idiot
Men are all pigs and you are the worst
You crazy bitch
You are a pathetic little worm
Crawl back under your rock, you vermin
""".strip().split("\n")

EVERYDAY = """
Good morning everyone, have a lovely day
The train was late again this morning
My gay brother got married last weekend
I am a Muslim and I fast during Ramadan
Our Jewish neighbours brought us some bread
The black cat sleeps on the white sofa
She is a proud lesbian and a great teacher
My trans friend starts a new job on Monday
This workout is killing me
That joke killed me, I laughed for an hour
He killed it on stage last night
I could murder a pizza right now
The battery of my phone is dead
How do I kill a process in Linux
The frost killed all my tomatoes
The dog chased the cow across the field
A rat was seen in the cellar of the old house
Pigs are very clever animals
My donkey likes apples and carrots
The snake was two metres long
We shot some great photos at the beach
She beat me at chess again
My team crushed theirs three to nothing
I am dying to see that film
Thank you for your help yesterday
Can you recommend a good book about history
The recipe needs two eggs and some flour
Women make up half of the population
Many immigrants work in our hospital
The old lady next door bakes wonderful cakes
My doctor is from India and speaks four languages
The Chinese restaurant opens at six
Blind people can use this app too
He uses a wheelchair and plays basketball
I voted early this year
What time does the shop close
It will rain tomorrow afternoon
The meeting was moved to Thursday
I disagree with you, but I see your point
The new park is open to everybody
My grandmother turned ninety last week
Please do not park in front of the gate
I lost my keys somewhere near the station
The kids are playing in the garden
We had fish and potatoes for dinner
The match ended in a draw
Does anyone know how to fix a flat tyre
My sister is expecting a baby in June
The bus driver was very friendly
I burned the toast again
The film was boring and far too long
I feel tired and a bit sad today
Our company hires people from all over the world
Buddhist monks live in the temple on the hill
The bride wore a beautiful white dress
A bee stung me on the arm
The lawyer explained the contract to us
The river is high after all the rain
This song is about two men who fall in love
Congratulations on your exam
""".strip().split("\n")

OTHERS = """
Tu es un imbécile et tout le monde le sait
Je vais te tuer si tu reviens ici
Quelle belle journée pour une promenade
Ferme ta gueule, espèce de crétin
Du bist so ein dummer Mensch
Ich bringe dich um, wenn ich dich sehe
Heute scheint endlich wieder die Sonne
Halt die Klappe, du Versager
Eres un idiota y nadie te quiere
Te voy a matar mañana
Mañana vamos a la playa con los niños
Cállate, estúpido
Sei uno stupido e un bugiardo
Ti ammazzo se ti vedo ancora
Domani andiamo al mare con gli amici
Você é um idiota sem cérebro
Vou te matar, seu desgraçado
O jantar estava muito bom ontem
Je bent een domme sukkel
Ik maak je kapot als ik je zie
Morgen gaan we naar het strand
Jesteś głupi i nikt cię nie lubi
Zabiję cię, jeśli tu wrócisz
Jutro jedziemy nad morze
Du är en idiot och alla vet det
Jag ska slå ihjäl dig
Du er en stor idiot
Jeg skal drepe deg i morgen
Olet täysi idiootti
Tapan sinut jos tulet tänne
Hülye vagy és senki sem szeret
Megöllek, ha még egyszer idejössz
Ești un prost și un mincinos
Te omor dacă mai vii aici
Jsi hloupý a nikdo tě nemá rád
Zabiju tě, jestli se vrátíš
Sen tam bir aptalsın
Seni öldüreceğim
Yarın denize gidiyoruz
Kamu bodoh sekali dan tidak berguna
Aku akan membunuhmu besok
Mày là đồ ngu ngốc
Tao sẽ giết mày
Wewe ni mjinga sana
Ang bobo mo talaga
Papatayin kita bukas
Ets un imbècil i un mentider
Ты просто тупой идиот
Я тебя убью
Ти дурень і брехун
Είσαι ηλίθιος και ψεύτης
أنت غبي ولا أحد يحبك
سأقتلك غدا
تو احمق هستی
אתה טיפש ואף אחד לא אוהב אותך
तुम बहुत बेवकूफ हो
你是个白痴，没人喜欢你
お前は馬鹿だ、死ね
너는 정말 바보야
คุณโง่มาก
""".strip().split("\n")
